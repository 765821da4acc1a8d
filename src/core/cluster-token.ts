import { CalyxError } from './errors.js';

/**
 * A token as its holder has it: `calyx1.ID.SECRET.FINGERPRINT`. All of it goes with each request, also as the password of a Hub client
 * (`HF_TOKEN`); the fingerprint tells whose token it is before anything is sent.
 */
export interface ClusterToken {
  /** 12 hex digits; not a secret. */
  readonly id: string;
  /** 32 random bytes, base64url. */
  readonly secret: string;
  /** SHA-256 of the certificate of the cluster (DER), base64url. */
  readonly fingerprint: string;
}

/** A token with the addresses of the stores, as it is pasted. */
export interface JoinString {
  /** `HOST:PORT` each, at least one. */
  readonly addresses: readonly string[];
  readonly token: ClusterToken;
}

// Some clients of the Hub send only what looks like a token of the Hub: 'hf_' with letters and digits.
const HUB_TOKEN = /^hf_calyx1([0-9a-f]{12})([0-9a-f]{64})([0-9a-f]{64})$/;
const TOKEN = /^calyx1\.([0-9a-f]{12})\.([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{43})$/;
const JOIN = /^calyx:\/\/([^/#\s]+)\/?#(\S+)$/;
const PASTED = /^\s*(?:npx )?calyx join (['"]?)(.*)\1\s*$/;
const ADDRESS = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})$/;
const MAX_ADDRESSES = 64;

/** The text of a token. */
export function formatToken({ id, secret, fingerprint }: ClusterToken): string {
  return `calyx1.${id}.${secret}.${fingerprint}`;
}

/** The text of a token for clients that send only what looks like a token of the Hub: `hf_`, letters and digits. */
export function formatHubToken({ id, secret, fingerprint }: ClusterToken): string {
  const digits = [secret, fingerprint].map((bytes) => Buffer.from(bytes, 'base64url').toString('hex'));
  return `hf_calyx1${id}${digits.join('')}`;
}

/** Reads a token, in either of its two forms; undefined if it is none. */
export function parseToken(text: string): ClusterToken | undefined {
  const hub = HUB_TOKEN.exec(text);
  const [, id, secret, fingerprint] = hub ?? TOKEN.exec(text) ?? [];
  if (id === undefined || secret === undefined || fingerprint === undefined) return undefined;
  if (hub === null) return { id, secret, fingerprint };
  return { id, secret: fromHex(secret), fingerprint: fromHex(fingerprint) };
}

function fromHex(digits: string): string {
  return Buffer.from(digits, 'hex').toString('base64url');
}

/** True if a text was meant to be a join string. */
export function isJoinString(text: string): boolean {
  return text.startsWith('calyx:');
}

/** `calyx://HOST:PORT[,HOST:PORT...]/#TOKEN`. */
export function formatJoinString({ addresses, token }: JoinString): string {
  return `calyx://${addresses.join(',')}/#${formatToken(token)}`;
}

/** Reads a join string, also out of the line that was to be pasted. Throws CalyxError `usage`, which does not repeat the text: it holds a secret. */
export function parseJoinString(text: string): JoinString {
  const pasted = PASTED.exec(text)?.[2] ?? text;
  const [, list = '', secret = ''] = JOIN.exec(pasted.trim()) ?? [];
  const addresses = list.split(',');
  const token = parseToken(secret);
  const wrong = addresses.find((address) => !isAddress(address));
  if (token !== undefined && wrong === undefined && addresses.length <= MAX_ADDRESSES)
    return { addresses, token };
  const problem =
    list === ''
      ? 'it does not have the form calyx://HOST:PORT/#TOKEN'
      : wrong !== undefined
        ? `'${wrong.slice(0, 100)}' is not HOST:PORT`
        : token === undefined
          ? 'the token after # is not whole'
          : `it has more than ${MAX_ADDRESSES} addresses`;
  throw new CalyxError('usage', `this is not a join string: ${problem}`, {
    hint: "paste the whole line that 'calyx token create' printed, in quotes",
  });
}

/** True for `HOST:PORT`, as join strings hold it. */
export function isAddress(text: string): boolean {
  const [, port] = ADDRESS.exec(text) ?? [];
  return port !== undefined && Number(port) >= 1 && Number(port) <= 65_535;
}
