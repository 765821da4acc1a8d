import { isJoinString, parseToken } from '../../../core/cluster-token.js';
import { errorMessage } from '../../../core/errors.js';
import { isLoopback } from '../../../protocols/http/guard.js';
import { parseStoreUrls } from '../../join/store-urls.js';
import { note, ok, problem, warning, type Verdict } from '../finding.js';

/** The environment, and what it may contradict. */
export interface EnvironmentFacts {
  readonly env: NodeJS.ProcessEnv;
  /** True if `calyx join` was run. */
  readonly joined: boolean;
}

const KNOWN = new Set([
  'CALYX_DATA',
  'CALYX_LISTEN',
  'CALYX_LOG_LEVEL',
  'CALYX_NFS',
  'CALYX_NODE_DATA',
  'CALYX_NODE_LISTEN',
  'CALYX_STORE',
]);
const PROXIES = ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy'];

/** Variables that are of no use, that contradict each other, or that open what should be closed. Their values are not shown. */
export function checkEnvironment({ env, joined }: EnvironmentFacts): Verdict[] {
  const verdicts = [...ofNode(env), ...calyxStore(env, joined), ...hub(env), ...unknown(env)];
  return verdicts.length > 0 ? verdicts : [ok('no variable of the environment stands in the way')];
}

function ofNode(env: NodeJS.ProcessEnv): Verdict[] {
  const verdicts: Verdict[] = [];
  if (env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0')
    verdicts.push(
      problem(
        'NODE_TLS_REJECT_UNAUTHORIZED=0 makes programs on Node.js believe every server; Calyx itself does not heed it',
        'unset NODE_TLS_REJECT_UNAUTHORIZED, and find where it is set',
      ),
    );
  if (isSet(env, 'NODE_EXTRA_CA_CERTS'))
    verdicts.push(
      note(
        'NODE_EXTRA_CA_CERTS is of no use to Calyx: stores are known by the certificate of their cluster alone',
      ),
    );
  const proxies = PROXIES.filter((name) => isSet(env, name));
  if (proxies.length > 0)
    verdicts.push(
      note(`${proxies.join(', ')}: Calyx speaks to stores directly and uses no proxy; Hub clients may`),
    );
  return verdicts;
}

function calyxStore(env: NodeJS.ProcessEnv, joined: boolean): Verdict[] {
  const text = env['CALYX_STORE']?.trim();
  if (text === undefined) return [];
  if (text === '')
    return [problem('CALYX_STORE is set, but empty', 'unset CALYX_STORE, or name a store: https://HOST:PORT')];
  const replaces = joined
    ? [note('CALYX_STORE takes the place of the cluster that was joined', 'unset CALYX_STORE to use that')]
    : [];
  if (isJoinString(text)) return replaces;
  let urls: URL[];
  try {
    urls = parseStoreUrls(text);
  } catch (error) {
    return [problem(`CALYX_STORE: ${errorMessage(error)}`, 'write https://HOST:PORT, several separated by commas')];
  }
  const plain = urls.filter(({ protocol, hostname }) => protocol === 'http:' && !onThisMachine(hostname));
  const mixed = plain.length > 0 && urls.some(({ protocol }) => protocol === 'https:');
  return [
    ...replaces,
    ...plain.map(({ origin }) =>
      warning(
        `CALYX_STORE names ${origin}: models come from there for everyone on the way to read and to change`,
        "start that store without --insecure, and join it: calyx join '...'",
      ),
    ),
    ...(mixed
      ? [
          problem(
            'CALYX_STORE names stores at http:// and at https://; a token is not sent to the first ones',
            'name only those at https://',
          ),
        ]
      : []),
  ];
} // prettier-ignore

/** Hub clients send HF_TOKEN to wherever HF_ENDPOINT says, and without that to the Hub. */
function hub(env: NodeJS.ProcessEnv): Verdict[] {
  if (parseToken(env['HF_TOKEN'] ?? '') === undefined) return [];
  const endpoint = env['HF_ENDPOINT'] ?? '';
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url === undefined)
    return [
      problem(
        'HF_TOKEN holds a token of Calyx, but HF_ENDPOINT names no store: Hub clients would send it to huggingface.co',
        'set HF_ENDPOINT=https://HOST:PORT of the store, or unset HF_TOKEN',
      ),
    ];
  if (url.protocol === 'http:' && !onThisMachine(url.hostname))
    return [
      problem(
        `HF_TOKEN holds a token of Calyx, and HF_ENDPOINT is ${url.origin}: everyone on the way can read it`,
        'set HF_ENDPOINT to https://; if it was sent already, revoke the token',
      ),
    ];
  return [];
}

function unknown(env: NodeJS.ProcessEnv): Verdict[] {
  return Object.keys(env)
    .filter((name) => name.startsWith('CALYX_') && !KNOWN.has(name))
    .map((name) => note(`${name} is of no use to Calyx`, `is it misspelt? There are ${[...KNOWN].join(', ')}`));
} // prettier-ignore

function isSet(env: NodeJS.ProcessEnv, name: string): boolean {
  return (env[name] ?? '') !== '';
}

function onThisMachine(hostname: string): boolean {
  return isLoopback(hostname.replace(/^\[|\]$/g, ''));
}
