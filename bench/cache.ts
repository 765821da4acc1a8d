/**
 * `npm run bench:cache`: reads through the disk cache against the plain directory that it stands before. Exit code 1 if warm reads are slower
 * than they may be. Blobs lie in `CALYX_BENCH_DIR`.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { note, print, printTable } from '../src/cli/terminal.js';
import { CHUNK_BYTES } from '../src/core/chunking.js';
import { sha256 } from '../src/core/digest.js';
import { formatSize } from '../src/core/units.js';
import { BufferPool } from '../src/storage/buffer-pool.js';
import type { ByteSource } from '../src/storage/byte-source.js';
import { DiskCache, type DiskCacheOptions } from '../src/storage/caches/disk/disk-cache.js';
import type { ChunkDigest, ChunkLookup } from '../src/storage/chunk-lookup.js';
import { VerifyLayer } from '../src/storage/layers/verify.js';
import { DirectorySource } from '../src/storage/sources/directory-source.js';
import { describeMachine, median } from './support/machine.js';
import { Workspace } from './support/workspace.js';

/** Issue 5: a warm read through the origin cache against the plain directory store. */
const MIN_WARM_RATIO = 0.9;
const ROUNDS = Math.max(5, Number(process.env['CALYX_BENCH_ROUNDS'] ?? 5));
const BLOB = 'b'.repeat(64);
const BLOB_BYTES = 512 * 1024 * 1024;
const MIB = 1024 * 1024;
const PARALLEL = 8;

/** Bytes per second of reading all of the blob in pieces, several at a time. */
async function speed(source: ByteSource, pieceBytes: number): Promise<number> {
  const startedAt = performance.now();
  let next = 0;
  const run = async (): Promise<void> => {
    while (next < BLOB_BYTES) {
      const offset = next;
      next += pieceBytes;
      const lease = await source.read(BLOB, offset, Math.min(pieceBytes, BLOB_BYTES - offset));
      lease.release();
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, run));
  return BLOB_BYTES / ((performance.now() - startedAt) / 1000);
}

async function writeBlob(path: string): Promise<ChunkDigest[]> {
  const chunks: ChunkDigest[] = [];
  const file = await open(path, 'w');
  for (let offset = 0; offset < BLOB_BYTES; offset += CHUNK_BYTES) {
    const bytes = randomBytes(CHUNK_BYTES);
    await file.write(bytes);
    chunks.push({ offset, length: CHUNK_BYTES, digest: sha256(bytes) });
  }
  await file.close();
  return chunks;
}

/** How long a cache with so many chunks of one KiB takes to start, and the memory for each of them. */
async function startTime(directory: string, count: number): Promise<{ seconds: number; tableBytes: number }> {
  const bytes = randomBytes(count + 1024);
  const chunks: ChunkDigest[] = Array.from({ length: count }, (_, index) => ({
    offset: index * 1024,
    length: 1024,
    digest: sha256(bytes.subarray(index, index + 1024)),
  }));
  const lookup: ChunkLookup = (_, offset, length) =>
    chunks.slice(Math.floor(offset / 1024), Math.ceil((offset + length) / 1024));
  const pool = new BufferPool();
  const upstream: ByteSource = {
    name: 'memory',
    read: async (_, offset, length) => {
      const lease = await pool.take(length);
      for (let at = 0; at < length; at += 1024)
        lease.buffer.set(bytes.subarray((offset + at) / 1024, (offset + at) / 1024 + 1024), at);
      return lease;
    },
    close: () => Promise.resolve(),
  };
  const options: DiskCacheOptions = {
    directory,
    budgetBytes: count * 1024 * 1.25,
    chunks: lookup,
    pool,
    description: 'the benchmark',
  };
  const filled = await DiskCache.open(upstream, options);
  for (let at = 0; at < count * 1024; at += 4 * MIB) {
    (await filled.read(BLOB, at, Math.min(4 * MIB, count * 1024 - at))).release();
    await filled.idle();
  }
  const had = filled.stats.chunks;
  await filled.close();
  const startedAt = performance.now();
  const cache = await DiskCache.open(upstream, options);
  const seconds = (performance.now() - startedAt) / 1000;
  const { chunks: found, tableBytes } = cache.stats;
  await cache.close();
  if (found !== had || found !== count)
    throw new Error(`${found} of ${count} chunks were there after a restart, ${had} before`);
  return { seconds, tableBytes: tableBytes / count };
}

async function main(): Promise<number> {
  const workspace = new Workspace(note);
  const closing: (() => Promise<void>)[] = [];
  try {
    const blobs = workspace.at('cache-blobs');
    await mkdir(blobs, { recursive: true });
    note(`making up a blob of ${formatSize(BLOB_BYTES)}`);
    const path = join(blobs, BLOB);
    const chunks = await writeBlob(path);
    const lookup: ChunkLookup = (_, offset, length) =>
      chunks.slice(Math.floor(offset / CHUNK_BYTES), Math.ceil((offset + length) / CHUNK_BYTES));
    const pool = new BufferPool();
    const directory = new DirectorySource('the directory', () => path, pool);
    const cached = async (name: string): Promise<DiskCache> => {
      const cache = await DiskCache.open(new DirectorySource('upstream', () => path, pool), {
        directory: workspace.at(name),
        budgetBytes: BLOB_BYTES * 1.25,
        chunks: lookup,
        pool,
        description: 'the benchmark',
      });
      closing.unshift(() => cache.close());
      return cache;
    };
    const verified = new VerifyLayer(directory, lookup);
    const mbps = (values: readonly number[]): string => (median(values) / 1e6).toFixed(0);
    const { cpu, cores, system, node } = describeMachine();
    print(`${cpu}, ${cores} cores, ${system}, Node ${node}`);

    note('cold reads');
    const cold: number[] = [];
    const plainVerified: number[] = [];
    let kept = 1;
    for (let round = 0; round < ROUNDS; round += 1) {
      await rm(workspace.at('cold'), { recursive: true, force: true });
      plainVerified.push(await speed(verified, CHUNK_BYTES));
      const cache = await cached('cold');
      cold.push(await speed(cache, CHUNK_BYTES));
      await cache.idle();
      kept = Math.min(kept, cache.stats.chunks / chunks.length);
      await closing.shift()?.();
    }

    note('warm reads');
    const cache = await cached('warm');
    while (cache.stats.chunks < chunks.length) {
      await speed(cache, CHUNK_BYTES);
      await cache.idle();
    }
    const rows: string[][] = [];
    let worst = Infinity;
    for (const piece of [64 * 1024, 256 * 1024, MIB, 4 * MIB]) {
      const [plain, warm]: [number[], number[]] = [[], []];
      for (let round = 0; round < ROUNDS; round += 1) {
        const both = [[directory, plain], [cache, warm]] as const; // prettier-ignore
        for (const [source, speeds] of round % 2 === 0 ? both : both.toReversed())
          speeds.push(await speed(source, piece));
      }
      const ratio = median(warm) / median(plain);
      worst = Math.min(worst, ratio);
      rows.push([`warm, ${formatSize(piece)} at a time`, mbps(warm), mbps(plain), ratio.toFixed(2)]);
    }
    const coldRatio = median(cold) / median(plainVerified);
    rows.push([`cold, against the directory verified; ${(kept * 100).toFixed(0)} % kept`, mbps(cold), mbps(plainVerified), coldRatio.toFixed(2)]); // prettier-ignore
    printTable(['reads', 'cache, MB/s', 'directory, MB/s', 'ratio'], rows, [1, 2, 3]);
    const { seconds, tableBytes } = await startTime(workspace.at('many'), 500_000);
    print(
      `500,000 chunks: started in ${seconds.toFixed(2)} s, ${tableBytes.toFixed(0)} bytes of memory each`,
    );
    if (worst >= MIN_WARM_RATIO) return 0;
    note(`a warm read is at ${worst.toFixed(2)} of the directory, less than ${MIN_WARM_RATIO}`);
    return 1;
  } finally {
    for (const close of closing) await close();
    workspace.close();
  }
}

process.exitCode = await main();
