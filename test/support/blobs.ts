import { createHash } from 'node:crypto';

/** `length` bytes that look random and are the same in every run: SHA-256 of a counter, again and again. */
export function testBytes(length: number, seed = ''): Buffer {
  const pieces: Buffer[] = [];
  for (let counter = 0; counter * 32 < length; counter += 1)
    pieces.push(createHash('sha256').update(`${seed}:${counter}`).digest());
  return Buffer.concat(pieces).subarray(0, length);
}

/** A blob's name, made without the code under test. */
export function blobName(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The bytes of a lease in one piece. */
export function bytesOf(lease: { readonly parts: readonly Uint8Array[] }): Buffer {
  return Buffer.concat(lease.parts);
}
