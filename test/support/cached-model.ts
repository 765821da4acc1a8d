import { createCipheriv, createHash } from 'node:crypto';
import { ChunkLayout } from '../../src/core/chunking.js';
import type { Extent } from '../../src/core/byte-range.js';
import type { ChunkDigest, ChunkLookup } from '../../src/storage/chunk-lookup.js';
import { seeded } from './seeded.js';

/** Some weights in memory. */
export interface CachedModel {
  readonly blob: string;
  readonly bytes: Buffer;
  readonly chunks: ChunkLookup;
}

/** Bytes of a keystream, cut at tensors of sizes as models have them, small and large; the same for the same arguments. */
export function cachedModel(size: number, longestTensor: number, seed: number): CachedModel {
  const key = Buffer.alloc(16);
  key.writeUInt32LE(seed);
  const bytes = createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size));
  const random = seeded(seed);
  const tensors: Extent[] = [];
  for (let offset = 8 + Math.floor(random() * 5000); offset < size;) {
    const length = Math.min(1 + Math.floor(random() ** 3 * longestTensor), size - offset);
    tensors.push({ offset, length });
    offset += length;
  }
  const layout = ChunkLayout.of(size, tensors);
  const digests = Array.from({ length: layout.count }, (_, index) => {
    const { offset, length } = layout.extent(index);
    return createHash('sha256')
      .update(bytes.subarray(offset, offset + length))
      .digest('hex');
  });
  return {
    blob: createHash('sha256').update(bytes).digest('hex'),
    bytes,
    chunks: (_, offset, length) => {
      const chunks: ChunkDigest[] = [];
      const last = layout.indexAt(offset + length - 1);
      for (let index = layout.indexAt(offset); index <= last; index += 1)
        chunks.push({ ...layout.extent(index), digest: digests[index] ?? '' });
      return chunks;
    },
  };
}
