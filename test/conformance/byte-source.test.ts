import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { BufferPool } from '../../src/storage/buffer-pool.js';
import type { DiskCache } from '../../src/storage/caches/disk/disk-cache.js';
import { CoalesceLayer } from '../../src/storage/layers/coalesce.js';
import { FailoverLayer } from '../../src/storage/layers/failover.js';
import { MeterLayer } from '../../src/storage/layers/meter.js';
import { RetryLayer } from '../../src/storage/layers/retry.js';
import { VerifyLayer, type ChunkLookup } from '../../src/storage/layers/verify.js';
import { BundleSource, type BundleRun } from '../../src/storage/sources/bundle-source.js';
import { DirectorySource } from '../../src/storage/sources/directory-source.js';
import { HttpSource } from '../../src/storage/sources/http-source.js';
import { blobName } from '../support/blobs.js';
import { serveBlobs } from '../support/blob-server.js';
import { openTestCache } from '../support/disk-caches.js';
import { ManualClock } from '../support/manual-clock.js';
import { MemorySource } from '../support/memory-source.js';
import { byteSourceConformance } from './byte-source.js';

type Blobs = ReadonlyMap<string, Uint8Array>;

async function directoryOf(blobs: Blobs): Promise<(blob: string) => string | undefined> {
  const directory = await mkdtemp(join(tmpdir(), 'calyx-blobs-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  for (const [name, bytes] of blobs) await writeFile(join(directory, name), bytes);
  return (blob) => (blobs.has(blob) ? join(directory, blob) : undefined);
}

/** Chunks of 30000 bytes. An unknown blob is left for the source to refuse; a range past the end gets what there is. */
function chunksOf(blobs: Blobs): ChunkLookup {
  const chunkBytes = 30_000;
  return (blob, offset, length) => {
    const bytes = blobs.get(blob);
    if (bytes === undefined) return [{ offset, length, digest: blob }];
    const chunks = [];
    const first = Math.floor(offset / chunkBytes) * chunkBytes;
    for (let at = first; at < Math.min(offset + length, bytes.byteLength); at += chunkBytes) {
      const chunk = bytes.subarray(at, at + chunkBytes);
      chunks.push({ offset: at, length: chunk.byteLength, digest: blobName(chunk) });
    }
    return chunks;
  };
}

byteSourceConformance('a directory', async (blobs, pool) => {
  return new DirectorySource('a directory', await directoryOf(blobs), pool);
});

byteSourceConformance('a directory with one open file at a time', async (blobs, pool) => {
  const locate = await directoryOf(blobs);
  return new DirectorySource('a directory', (blob) => Promise.resolve(locate(blob)), pool, { openFiles: 1 });
});

byteSourceConformance('bundles of chunks, the blobs of which begin anywhere', async (blobs, pool) => {
  const directory = await mkdtemp(join(tmpdir(), 'calyx-bundles-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  // Two bundles; the pieces of a blob lie in both by turns, before them bytes of nobody.
  const bundles = { a: [Buffer.alloc(11, 'a')], b: [Buffer.alloc(7, 'b')] };
  const sizes = { a: 11, b: 7 };
  const runs = new Map<string, BundleRun[]>();
  for (const [blob, bytes] of blobs) {
    const own: BundleRun[] = [];
    for (let start = 0; start < bytes.byteLength; start += 70_001) {
      const piece = bytes.subarray(start, start + 70_001);
      const bundle = own.length % 2 === 0 ? 'a' : 'b';
      own.push({ start, end: start + piece.byteLength, bundle, offset: sizes[bundle] });
      bundles[bundle].push(Buffer.from(piece));
      sizes[bundle] += piece.byteLength;
    }
    runs.set(blob, own);
  }
  for (const [name, pieces] of Object.entries(bundles))
    await writeFile(join(directory, name), Buffer.concat(pieces));
  return new BundleSource(
    'bundles',
    (blob) => runs.get(blob),
    (id) => join(directory, id),
    pool,
  );
});

byteSourceConformance('a store over HTTP', async (blobs, pool) => {
  return new HttpSource(await serveBlobs(blobs), pool);
});

const memory = (name: string, blobs: Blobs, pool: BufferPool) => new MemorySource(name, blobs, pool);

byteSourceConformance('memory', (blobs, pool) => memory('m', blobs, pool));

byteSourceConformance('verify', (blobs, pool) => new VerifyLayer(memory('m', blobs, pool), chunksOf(blobs)));

byteSourceConformance('coalesce', (blobs, pool) => new CoalesceLayer(memory('m', blobs, pool)));

byteSourceConformance('meter', (blobs, pool) => new MeterLayer(memory('m', blobs, pool)));

byteSourceConformance(
  'retry',
  (blobs, pool) => new RetryLayer(memory('m', blobs, pool), { clock: new ManualClock() }),
);

byteSourceConformance('failover from an empty source', (blobs, pool) => {
  return new FailoverLayer([memory('empty', new Map(), pool), memory('full', blobs, pool)]);
});

byteSourceConformance('failover from a source with wrong bytes, as a node reads', (blobs, pool) => {
  const wrong = new Map([...blobs].map(([name, bytes]) => [name, Buffer.from(bytes).fill(0)]));
  const verified = [memory('wrong', wrong, pool), memory('right', blobs, pool)].map(
    (source) => new VerifyLayer(new MeterLayer(source), chunksOf(blobs)),
  );
  return new CoalesceLayer(new RetryLayer(new FailoverLayer(verified), { clock: new ManualClock() }));
});

byteSourceConformance('a disk cache with a pool of its own', (blobs, pool) =>
  openTestCache(memory('m', blobs, new BufferPool()), { pool, chunks: chunksOf(blobs) }),
);

byteSourceConformance('a disk cache that forgets most', (blobs, pool) =>
  openTestCache(memory('m', blobs, new BufferPool()), {
    pool,
    chunks: chunksOf(blobs),
    budgetBytes: 400_000,
  }),
);

byteSourceConformance('a disk cache that shares its pool with the source', async (blobs, pool) => {
  const cache = await openTestCache(memory('m', blobs, pool), { pool, chunks: chunksOf(blobs) });
  // What is not written yet is still on loan.
  const read: DiskCache['read'] = async (...args) => {
    const lease = await cache.read(...args);
    await cache.idle();
    return lease;
  };
  return { name: cache.name, read, close: () => cache.close() };
});
