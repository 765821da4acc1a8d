import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { BufferPool } from '../../src/storage/buffer-pool.js';
import type { ByteSource } from '../../src/storage/byte-source.js';
import { DiskCache, type DiskCacheStats } from '../../src/storage/caches/disk/disk-cache.js';
import { cachedModel } from './cached-model.js';
import { MemorySource } from './memory-source.js';
import { seeded } from './seeded.js';

/** What {@link readAtRandom} is to do. */
export interface RandomReads {
  readonly directory: string;
  readonly modelBytes: number;
  readonly seconds: number;
  readonly seed: number;
}

const READERS = 6;
const LONGEST_READ = 3 * 1024 * 1024;

/**
 * Reads ranges of a model anywhere, several at a time, through a cache with a tenth of its size, and compares every byte. Meanwhile another
 * process looks at the disk. Begins anew in the middle, with what the first cache has left.
 */
export async function readAtRandom({
  directory,
  modelBytes,
  seconds,
  seed,
}: RandomReads): Promise<DiskCacheStats> {
  const { blob, bytes, chunks } = cachedModel(modelBytes, 9_000_000, seed);
  const budgetBytes = Math.floor(modelBytes / 10);
  const random = seeded(seed);
  const sampler = startSampler(directory);
  await sampler.ready;
  let read = 0;
  let stats: DiskCacheStats | undefined;
  for (let half = 0; half < 2; half += 1) {
    const pool = new BufferPool();
    const upstream: ByteSource = new MemorySource('upstream', new Map([[blob, bytes]]), pool);
    const cache = await DiskCache.open(upstream, {
      directory,
      budgetBytes,
      chunks,
      pool,
      description: 'a test',
    });
    try {
      if (half === 1) expect(cache.stats.chunks).toBeGreaterThan(0);
      const endAt = performance.now() + (seconds * 1000) / 2;
      const reader = async (): Promise<void> => {
        // On a busy machine it takes longer to have read as much as all of it.
        while (performance.now() < endAt || read <= (modelBytes * (half + 1)) / 2) {
          const length = 1 + Math.floor(random() ** 3 * LONGEST_READ);
          const offset = Math.floor(random() * (modelBytes - length));
          const lease = await cache.read(blob, offset, length);
          let at = offset;
          for (const part of lease.parts)
            if (bytes.compare(part, 0, part.byteLength, at, (at += part.byteLength)) !== 0)
              throw new Error(`wrong bytes in ${length} at ${offset}`);
          if (at !== offset + length)
            throw new Error(`${at - offset} bytes instead of ${length} at ${offset}`);
          lease.release();
          read += length;
        }
      };
      await Promise.all(Array.from({ length: READERS }, reader));
      stats = cache.stats;
    } finally {
      await cache.close();
    }
    expect(stats).toMatchObject({ diskFailures: 0, damagedChunks: 0, wrongChunks: 0 });
    expect(stats.hits).toBeGreaterThan(0);
    expect(stats.evictedChunks).toBeGreaterThan(0);
  }
  const { most, samples } = await sampler.stop();
  expect(most).toBeLessThanOrEqual(budgetBytes);
  expect(most).toBeGreaterThan(budgetBytes / 2);
  expect(samples).toBeGreaterThan(1);
  expect(read).toBeGreaterThan(modelBytes);
  if (stats === undefined) throw new Error('nothing was read');
  return stats;
}

function startSampler(directory: string) {
  const program = fileURLToPath(new URL('disk-sampler.js', import.meta.url));
  const child = spawn(process.execPath, [program, directory], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const line = await lines.next();
    if (line.done === true) throw new Error('the sampler has ended');
    return line.value;
  };
  return {
    ready: next(),
    stop: async () => {
      child.stdin.end();
      return JSON.parse(await next()) as { most: number; samples: number };
    },
  };
}
