import { onTestFinished } from 'vitest';
import { BufferPool } from '../../src/storage/buffer-pool.js';
import type { ByteSource } from '../../src/storage/byte-source.js';
import type { ChunkDigest, ChunkLookup } from '../../src/storage/chunk-lookup.js';
import { DiskCache, type DiskCacheOptions } from '../../src/storage/caches/disk/disk-cache.js';
import { blobName } from './blobs.js';
import { testDirectory } from './directories.js';

/** Segments that are small enough to come and go in a test. */
export const TEST_SEGMENT_BYTES = 64 * 1024;

/** A cache of 2 MB in small segments, which is closed when the test ends. */
export async function openTestCache(
  upstream: ByteSource,
  options: Partial<DiskCacheOptions> & Pick<DiskCacheOptions, 'chunks'>,
): Promise<DiskCache> {
  const cache = await DiskCache.open(upstream, {
    directory: options.directory ?? testDirectory(),
    budgetBytes: 2_000_000,
    segmentBytes: TEST_SEGMENT_BYTES,
    pool: new BufferPool(),
    description: 'a test',
    ...options,
  });
  onTestFinished(() => cache.close());
  return cache;
}

/** Cuts blobs into chunks of one size, named without the code under test. */
export function evenChunks(blobs: ReadonlyMap<string, Uint8Array>, chunkBytes: number): ChunkLookup {
  const known = new Map(
    [...blobs].map(([blob, bytes]) => {
      const chunks: ChunkDigest[] = [];
      for (let offset = 0; offset < bytes.byteLength; offset += chunkBytes) {
        const chunk = bytes.subarray(offset, offset + chunkBytes);
        chunks.push({ offset, length: chunk.byteLength, digest: blobName(chunk) });
      }
      return [blob, chunks];
    }),
  );
  return (blob, offset, length) =>
    known.get(blob)?.slice(Math.floor(offset / chunkBytes), Math.ceil((offset + length) / chunkBytes));
}
