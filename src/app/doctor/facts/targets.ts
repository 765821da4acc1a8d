import { formatToken, isJoinString, parseJoinString } from '../../../core/cluster-token.js';
import { CalyxError } from '../../../core/errors.js';
import type { JoinedCluster } from '../../join/cluster-file.js';
import { DEFAULT_STORE_ADDRESS, parseStoreUrls } from '../../join/store-urls.js';
import type { KnownBy } from './handshake.js';
import type { Target } from './probe-address.js';

/** Which stores commands would ask here. */
export interface Targets {
  readonly targets: readonly Target[];
  /** False if nobody named them. */
  readonly asked: boolean;
}

/**
 * The stores that a command would ask, as storeAccess of app/join finds them, but without asking anybody.
 *
 * @param option the text of `--store`
 * @throws CalyxError `usage`
 */
export function storeTargets(
  option: string | undefined,
  env: NodeJS.ProcessEnv,
  joined: JoinedCluster | undefined,
): Targets {
  if (option !== undefined && isJoinString(option.trim()))
    throw new CalyxError('usage', 'a join string does not belong into --store', {
      hint: "everyone on this machine can see it there: put it into CALYX_STORE, or run 'calyx join -' once",
    });
  const set = env['CALYX_STORE']?.trim() ?? '';
  const own = ownCredential(set, joined);
  if (option === undefined && isJoinString(set))
    return { targets: parseJoinString(set).addresses.map((address) => securely(address, own)), asked: true };
  const text = option ?? (set === '' ? undefined : set);
  if (text === undefined) {
    if (joined !== undefined)
      return { targets: joined.addresses.map((address) => securely(address, own)), asked: true };
    const url = new URL(`http://${DEFAULT_STORE_ADDRESS}`);
    return { targets: [{ url, knownBy: undefined, token: undefined }], asked: false };
  }
  const urls = parseStoreUrls(text);
  // As for all commands: open stores are told nothing of a token, unless there are secured ones beside them.
  const secured = urls.some(({ protocol }) => protocol === 'https:');
  return {
    targets: urls.map((url) => ({ url, ...(secured ? own : { knownBy: undefined, token: undefined }) })),
    asked: true,
  };
}

type Credential = Omit<Target, 'url'>;

function ownCredential(set: string, joined: JoinedCluster | undefined): Credential {
  if (isJoinString(set)) {
    const { token } = parseJoinString(set);
    const knownBy: KnownBy = { fingerprint: token.fingerprint };
    return { knownBy, token: formatToken(token) };
  }
  if (joined === undefined) return { knownBy: undefined, token: undefined };
  return { knownBy: { ca: joined.ca }, token: joined.token };
}

function securely(address: string, credential: Credential): Target {
  return { url: new URL(`https://${address}`), ...credential };
}
