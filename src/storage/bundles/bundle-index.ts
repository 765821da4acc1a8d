import { CHUNK_BYTES } from '../../core/chunking.js';
import { DIGEST_BYTES, sha256, type Digest } from '../../core/digest.js';
import { CalyxError } from '../../core/errors.js';

/** A chunk in a bundle. */
export interface BundledChunk {
  readonly digest: Digest;
  readonly length: number;
}

/**
 * What lies in a bundle: a file of chunks, one after the other. The index is a file of its own: 16 bytes that name the format, then for each chunk its
 * SHA-256 and its length (32 bits, little-endian). A bundle is named by the SHA-256 of its index.
 */
export interface BundleIndex {
  readonly id: Digest;
  readonly chunks: readonly BundledChunk[];
  /** Where each chunk begins, and the size of the bundle at the end. */
  readonly offsets: Float64Array;
}

/** 16 bytes. */
const MAGIC = Buffer.from('calyxbundle1\n\0\0\0', 'latin1');
const ENTRY_BYTES = DIGEST_BYTES + 4;

/** The bytes of an index, and the id that they give the bundle. */
export function encodeBundleIndex(chunks: readonly BundledChunk[]): { id: Digest; bytes: Uint8Array } {
  const bytes = Buffer.alloc(MAGIC.byteLength + chunks.length * ENTRY_BYTES);
  MAGIC.copy(bytes);
  chunks.forEach(({ digest, length }, index) => {
    const at = MAGIC.byteLength + index * ENTRY_BYTES;
    bytes.write(digest, at, 'hex');
    bytes.writeUInt32LE(length, at + DIGEST_BYTES);
  });
  return { id: sha256(bytes), bytes };
}

/** Throws CalyxError `corrupt` unless it is the index of the bundle `id`. */
export function decodeBundleIndex(bytes: Uint8Array, id: Digest): BundleIndex {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = (buffer.byteLength - MAGIC.byteLength) / ENTRY_BYTES;
  if (!Number.isSafeInteger(count) || count < 0) throw damaged(id);
  if (!buffer.subarray(0, MAGIC.byteLength).equals(MAGIC) || sha256(bytes) !== id) throw damaged(id);
  const chunks: BundledChunk[] = [];
  const offsets = new Float64Array(count + 1);
  let end = 0;
  for (let at = MAGIC.byteLength; at < buffer.byteLength; at += ENTRY_BYTES) {
    const length = buffer.readUInt32LE(at + DIGEST_BYTES);
    if (length === 0 || length > CHUNK_BYTES) throw damaged(id);
    chunks.push({ digest: buffer.toString('hex', at, at + DIGEST_BYTES), length });
    end += length;
    offsets[chunks.length] = end;
  }
  return { id, chunks, offsets };
}

function damaged(id: Digest): CalyxError {
  return new CalyxError('corrupt', `the index of the bundle ${id} is damaged`, {
    hint: "run 'calyx verify'; it names the models that have lost content, to be added again",
  });
}
