import { createHash } from 'node:crypto';
import { CalyxError } from './errors.js';

/** A SHA-256 as 64 lower-case hex digits (FIPS 180-4). */
export type Digest = string;

/** Bytes of a SHA-256. */
export const DIGEST_BYTES = 32;

/** The SHA-256 of the concatenation of `parts`. */
export function sha256(...parts: (Uint8Array | string)[]): Digest {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

/** True if `text` has the form of a {@link Digest}. */
export function isDigest(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

/** Checks a digest that came from outside; `what` names it in the error. Throws CalyxError `usage`. */
export function parseDigest(text: string, what: string): Digest {
  if (isDigest(text)) return text;
  throw new CalyxError(
    'usage',
    `${what} is not a SHA-256 (64 lower-case hex digits): '${text.slice(0, 80)}'`,
  );
}
