import { readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CalyxError } from '../../src/core/errors.js';
import { BufferPool } from '../../src/storage/buffer-pool.js';
import type { ByteSource, Lease, ReadOptions } from '../../src/storage/byte-source.js';
import { DiskCache } from '../../src/storage/caches/disk/disk-cache.js';
import { blobName, bytesOf, testBytes } from '../support/blobs.js';
import { TEST_SEGMENT_BYTES, evenChunks, openTestCache } from '../support/disk-caches.js';
import { testDirectory } from '../support/directories.js';
import { expectError } from '../support/expect-error.js';
import { ManualClock } from '../support/manual-clock.js';
import { MemorySource } from '../support/memory-source.js';
import { failure, gate, ScriptedSource, slowError } from '../support/scripted-source.js';
import { seeded } from '../support/seeded.js';

const CHUNK = 10_000;
const BYTES = testBytes(2_000_000, 'model');
const BLOB = blobName(BYTES);
const BLOBS = new Map([[BLOB, BYTES]]);
const CHUNKS = evenChunks(BLOBS, CHUNK);

/** Notes what is read from it. */
class Watched implements ByteSource {
  readonly name = 'upstream';
  readonly reads: string[] = [];
  bytes = 0;
  readonly #inner: ByteSource;

  constructor(blobs: ReadonlyMap<string, Uint8Array> = BLOBS, pool = new BufferPool()) {
    this.#inner = new MemorySource('upstream', blobs, pool);
  }

  read(blob: string, offset: number, length: number, options?: ReadOptions): Lease | Promise<Lease> {
    this.reads.push(`${offset}+${length}`);
    this.bytes += length;
    return this.#inner.read(blob, offset, length, options);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}

async function expectRead(cache: ByteSource, offset: number, length: number): Promise<void> {
  const lease = await cache.read(BLOB, offset, length);
  expect(bytesOf(lease).equals(BYTES.subarray(offset, offset + length)), `${length} at ${offset}`).toBe(true);
  lease.release();
}

/** A cache with the first `bytes` of the blob in it, closed again; and its pack file. */
async function filled(bytes: number): Promise<{ directory: string; pack: string }> {
  const directory = testDirectory();
  const cache = await openTestCache(new Watched(), { chunks: CHUNKS, directory });
  for (let at = 0; at < bytes; at += 100_000) {
    await expectRead(cache, at, 100_000);
    await cache.idle();
  }
  expect(cache.stats.chunks).toBe(bytes / CHUNK);
  await cache.close();
  return { directory, pack: join(directory, 'chunks.pack') };
}

async function reopened(directory: string, more = {}): Promise<{ cache: DiskCache; upstream: Watched; told: CalyxError[] }> {
  const upstream = new Watched();
  const told: CalyxError[] = [];
  const cache = await openTestCache(upstream, { chunks: CHUNKS, directory, onTrouble: (error) => told.push(error), ...more }); // prettier-ignore
  return { cache, upstream, told };
} // prettier-ignore

describe('a disk cache', () => {
  it('fetches whole chunks, adjacent ones by one read, and nothing beyond the request', async () => {
    const upstream = new Watched();
    const cache = await openTestCache(upstream, { chunks: CHUNKS });
    await expectRead(cache, 15_000, 30_000);
    expect(upstream.reads).toEqual(['10000+40000']);
    await cache.idle();
    await expectRead(cache, 10_001, 39_999);
    await expectRead(cache, 19_999, 2);
    expect(upstream.reads).toHaveLength(1);
    // What is missing on both sides of what is there.
    await expectRead(cache, 0, 70_000);
    expect(upstream.reads.slice(1)).toEqual(['0+10000', '50000+20000']);
    expect(cache.stats).toMatchObject({ misses: 7, fetchedBytes: 70_000, hits: 10, wrongChunks: 0 });
  });

  it('fetches no more at once than it is told to', async () => {
    const upstream = new Watched();
    const cache = await openTestCache(upstream, { chunks: CHUNKS, fetchBytes: 25_000 });
    await expectRead(cache, 0, 60_000);
    expect(upstream.reads).toEqual(['0+20000', '20000+20000', '40000+20000']);
  });

  it('fetches chunks with equal content once, wherever they are', async () => {
    const zeros = Buffer.alloc(100_000);
    const blobs = new Map([[blobName(zeros), zeros]]);
    const upstream = new Watched(blobs);
    const cache = await openTestCache(upstream, { chunks: evenChunks(blobs, CHUNK) });
    const lease = await cache.read(blobName(zeros), 5000, 90_000);
    expect(bytesOf(lease).equals(zeros.subarray(0, 90_000))).toBe(true);
    lease.release();
    await cache.idle();
    expect(upstream.bytes).toBe(CHUNK);
    expect(cache.stats.usedBytes).toBe(CHUNK);
  });

  it('reads a chunk once for many readers, also while it waits to be written, and gives all buffers back', async () => {
    const pool = new BufferPool({ budgetBytes: 1024 * 1024 });
    const upstream = new Watched(BLOBS, pool);
    const cache = await openTestCache(upstream, { chunks: CHUNKS, pool });
    await Promise.all(
      Array.from({ length: 200 }, (_, index) => expectRead(cache, (index % 40) * 1000, 1000)),
    );
    expect(upstream.bytes).toBe(40_000);
    await cache.idle();
    expect(pool.take(1024 * 1024), 'a lease was not given back').not.toBeInstanceOf(Promise);
  });

  it('lets one reader give up without hurting the other, and aborts the fetch when all have', async () => {
    const [door, second] = [gate(), gate()];
    const source = new ScriptedSource('inner', [door.answer, second.answer]);
    const cache = await openTestCache(source, { chunks: CHUNKS });
    const impatient = new AbortController();
    const reason = new Error('enough');
    const [one, two] = [cache.read(BLOB, 0, 10, { signal: impatient.signal }), cache.read(BLOB, 5, 10)];
    impatient.abort(reason);
    await expect(one).rejects.toBe(reason);
    await expect.poll(() => source.reads).toEqual(['0+10000']);
    expect(source.signals[0]?.aborted).toBe(false);
    door.open('something else');
    await expect(two).rejects.toMatchObject({ code: 'corrupt' });
    const alone = new AbortController();
    const three = cache.read(BLOB, CHUNK, 10, { signal: alone.signal });
    await expect.poll(() => source.reads).toHaveLength(2);
    alone.abort(reason);
    await expect(three).rejects.toBe(reason);
    expect(source.signals[1]?.aborted).toBe(true);
    second.open('late');
    await cache.idle();
    expect(source.onLoan).toBe(0);
  });

  it('passes on the errors of upstream as they are, and asks again', async () => {
    const error = failure('timeout', 'nothing came');
    const source = new ScriptedSource('inner', [slowError(error), slowError(error)]);
    const cache = await openTestCache(source, { chunks: CHUNKS });
    await expect(cache.read(BLOB, 0, 10)).rejects.toBe(error);
    await expect(cache.read(BLOB, 0, 10)).rejects.toBe(error);
  });

  it('never serves or keeps wrong bytes from upstream; the right chunks beside them are kept', async () => {
    const wrong = Buffer.from(BYTES);
    wrong[25_000] = (wrong[25_000] ?? 0) ^ 1;
    const directory = testDirectory();
    const bad = await openTestCache(new Watched(new Map([[BLOB, wrong]])), { chunks: CHUNKS, directory });
    await expectError(
      () => bad.read(BLOB, 0, 50_000),
      'corrupt',
      'upstream sent wrong bytes',
      '10000 at 20000',
    );
    await bad.idle();
    expect(bad.stats).toMatchObject({ chunks: 4, wrongChunks: 1 });
    await bad.close();
    const { cache, upstream } = await reopened(directory);
    await expectRead(cache, 0, 50_000);
    expect(upstream.reads).toEqual(['20000+10000']);
  });

  it('reads ranges of very many tiny chunks, of which every other one is there, with few buffers', async () => {
    const tiny = evenChunks(BLOBS, 512);
    const pool = new BufferPool({ budgetBytes: 1024 * 1024 });
    const upstream = new Watched(BLOBS, pool);
    const cache = await openTestCache(upstream, { chunks: tiny, pool, budgetBytes: 4_000_000 });
    for (let at = 0; at < 200_000; at += 1024) {
      await expectRead(cache, at, 512);
      await cache.idle();
    }
    await Promise.all([0, 50_000, 100_100].map((at) => expectRead(cache, at, 90_000)));
    await cache.idle();
    const before = upstream.bytes;
    await expectRead(cache, 0, 190_000);
    expect(upstream.bytes).toBe(before);
    // Chunks lie in the order in which they came; they are read all the same into one buffer.
    const lease = await cache.read(BLOB, 0, 190_000);
    expect(lease.parts).toHaveLength(1);
    lease.release();
  });

  it('has one owner', async () => {
    const directory = testDirectory();
    await openTestCache(new Watched(), { chunks: CHUNKS, directory, description: 'the first one' });
    await expectError(
      () => openTestCache(new Watched(), { chunks: CHUNKS, directory }),
      'busy',
      'the first one',
    );
  });

  it('refuses a budget that is too small', async () => {
    const options = { directory: testDirectory(), budgetBytes: 17_000_000, chunks: CHUNKS, pool: new BufferPool(), description: 'x' }; // prettier-ignore
    await expectError(
      () => DiskCache.open(new Watched(), options),
      'usage',
      '16.2 MiB is too small',
      '18.0 MiB',
    );
    const smallest = await DiskCache.open(new Watched(), { ...options, budgetBytes: 18 * 1024 * 1024 });
    await expectRead(smallest, 0, 10);
    await smallest.close();
  });
});

describe('what is on the disk', () => {
  it('is there after a restart, verified once more, and follows a budget that changes', async () => {
    const { directory, pack } = await filled(600_000);
    const same = await reopened(directory);
    await expectRead(same.cache, 0, 600_000);
    await expectRead(same.cache, 0, 600_000);
    expect(same.upstream.reads).toEqual([]);
    await same.cache.close();
    const smaller = await reopened(directory, { budgetBytes: 450_000 });
    expect((await stat(pack)).size).toBeLessThan(450_000);
    expect(smaller.cache.stats.chunks).toBeGreaterThan(20);
    for (let at = 0; at < 2_000_000; at += 40_000) await expectRead(smaller.cache, at, 40_000);
    await smaller.cache.idle();
    expect((await stat(pack)).size).toBeLessThan(450_000);
    await smaller.cache.close();
    const larger = await reopened(directory, { budgetBytes: 3_000_000 });
    expect(larger.cache.stats.chunks).toBeGreaterThan(10);
    for (let at = 0; at < 2_000_000; at += 40_000) await expectRead(larger.cache, at, 40_000);
  });

  it('is not trusted: each damaged chunk is recognised at its first read, told of, and fetched again', async () => {
    const { directory, pack } = await filled(600_000);
    const random = seeded(42);
    const bytes = await readFile(pack);
    // One bit in each of ten chunks, wherever they lie.
    const damaged = new Set<number>();
    while (damaged.size < 10) damaged.add(Math.floor(random() * 60));
    for (const chunk of damaged) {
      const at =
        bytes.indexOf(BYTES.subarray(chunk * CHUNK, chunk * CHUNK + 64)) + Math.floor(random() * CHUNK);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(random() * 8));
    }
    await writeFile(pack, bytes);
    const { cache, upstream, told } = await reopened(directory);
    expect(cache.stats.chunks).toBe(60);
    for (let at = 0; at < 600_000; at += 25_000) await expectRead(cache, at, 25_000);
    expect(upstream.bytes).toBe(10 * CHUNK);
    expect(told.map(({ code }) => code)).toEqual(Array.from({ length: 10 }, () => 'corrupt'));
    expect(cache.stats.damagedChunks).toBe(10);
    await cache.idle();
    for (let at = 0; at < 600_000; at += 25_000) await expectRead(cache, at, 25_000);
    expect(upstream.bytes).toBe(10 * CHUNK);
  });

  it.each<[string, (bytes: Buffer) => Buffer]>([
    ['random bytes over the head of the file', (bytes) => {
      testBytes(200, 'x').copy(bytes);
      return bytes;
    }],
    ['zeros over half of it', (bytes) => bytes.fill(0, bytes.byteLength / 2)],
    ['cut off in the middle', (bytes) => bytes.subarray(0, 300_001)],
    ['empty', () => Buffer.alloc(0)],
    ['other bytes altogether', () => testBytes(1_900_000, 'other')],
    ['random bytes over all entries', (bytes) => {
      for (let end = 4096 + TEST_SEGMENT_BYTES; end <= bytes.byteLength; end += TEST_SEGMENT_BYTES) testBytes(1000, `${end}`).copy(bytes, end - 1032);
      return bytes;
    }],
    ['one entry of each segment', (bytes) => {
      for (let end = 4096 + TEST_SEGMENT_BYTES; end <= bytes.byteLength; end += TEST_SEGMENT_BYTES) bytes.fill(0xff, end - 32 - 3 * 44, end - 32 - 2 * 44);
      return bytes;
    }],
    ['segments that have changed places', (bytes) => {
      const first = Buffer.from(bytes.subarray(4096, 4096 + TEST_SEGMENT_BYTES));
      bytes.copy(bytes, 4096, 4096 + TEST_SEGMENT_BYTES, 4096 + 2 * TEST_SEGMENT_BYTES);
      first.copy(bytes, 4096 + TEST_SEGMENT_BYTES);
      return bytes;
    }],
  ])('may be damaged in any way: %s', async (_, damage) => {
    const { directory, pack } = await filled(600_000);
    await writeFile(pack, damage(await readFile(pack)));
    const { cache } = await reopened(directory);
    for (let round = 0; round < 2; round += 1) {
      for (let at = 0; at < 2_000_000; at += 50_000) await expectRead(cache, at, 50_000);
      await cache.idle();
    }
    expect(cache.stats.diskFailures).toBe(0);
    expect((await stat(pack)).size).toBeLessThanOrEqual(2_000_000);
  }); // prettier-ignore

  it('may be cut off by somebody while it is in use: reads go to upstream, it is told once, and tried again', async () => {
    const { directory, pack } = await filled(600_000);
    const clock = new ManualClock();
    const { cache, upstream, told } = await reopened(directory, { clock, retryAfterMs: 1000 });
    await expectRead(cache, 0, 600_000);
    await truncate(pack, 4096);
    await expectRead(cache, 0, 600_000);
    await expectRead(cache, 0, 600_000);
    expect(upstream.bytes).toBeGreaterThanOrEqual(1_200_000);
    expect(told).toMatchObject([{ code: 'unreadable' }]);
    expect(cache.stats).toMatchObject({ troubled: true, chunks: 0 });
    clock.advance(1000);
    await expectRead(cache, 0, 600_000);
    await cache.idle();
    const before = upstream.bytes;
    await expectRead(cache, 0, 600_000);
    expect(upstream.bytes).toBe(before);
    expect(cache.stats.troubled).toBe(false);
    expect(told).toHaveLength(1);
  });

  it('is not there where no directory can be: reads go to upstream, and it is tried again', async () => {
    const parent = testDirectory();
    const directory = join(parent, 'cache');
    await writeFile(directory, 'a file is in the way');
    const clock = new ManualClock();
    const { cache, upstream, told } = await reopened(directory, { clock, retryAfterMs: 1000 });
    expect(told).toHaveLength(1);
    // Who reads a chunk in pieces does not fetch it for each of them.
    for (let at = 0; at < 50_000; at += 1000) await expectRead(cache, at, 1000);
    expect(upstream.bytes).toBe(50_000);
    await rm(directory);
    clock.advance(1000);
    await expectRead(cache, 100_000, 10_000);
    await cache.idle();
    await expectRead(cache, 200_000, 10_000);
    await cache.idle();
    expect(cache.stats.chunks).toBeGreaterThan(0);
    expect(cache.stats.troubled).toBe(false);
  });
});

describe('eviction', () => {
  it('keeps what is read again and again through scans of everything', async () => {
    const upstream = new Watched();
    // A quarter of the blob; the hot set is a third of that.
    const cache = await openTestCache(upstream, { chunks: CHUNKS, budgetBytes: 600_000, segmentBytes: 32 * 1024, togetherBytes: 20_000 }); // prettier-ignore
    const hot = Array.from({ length: 18 }, (_, index) => index * 7 * CHUNK);
    const readHot = async (): Promise<number> => {
      const before = upstream.bytes;
      for (const at of hot) await expectRead(cache, at, CHUNK);
      await cache.idle();
      return 1 - (upstream.bytes - before) / (hot.length * CHUNK);
    };
    for (let round = 0; round < 5; round += 1) await readHot();
    const rates: number[] = [];
    for (let scan = 0; scan < 5; scan += 1) {
      for (let at = 0; at < BYTES.byteLength; at += CHUNK) {
        await expectRead(cache, at, CHUNK);
        await cache.idle();
      }
      rates.push(await readHot());
    }
    expect(Math.min(...rates), rates.join(' ')).toBeGreaterThanOrEqual(0.9);
    // What is left over was no use.
    expect(cache.stats.evictedChunks).toBeGreaterThan(500);
  });

  it('takes reading piece by piece for one use, so that a scan in pieces displaces nothing either', async () => {
    const upstream = new Watched();
    const cache = await openTestCache(upstream, { chunks: CHUNKS, budgetBytes: 600_000, segmentBytes: 32 * 1024, togetherBytes: 20_000 }); // prettier-ignore
    for (let at = 0; at < BYTES.byteLength; at += CHUNK / 10) {
      await expectRead(cache, at, CHUNK / 10);
      await cache.idle();
    }
    expect(upstream.bytes).toBe(BYTES.byteLength);
    expect(cache.stats.carriedBytes).toBe(0);
  });

  it('never takes what is being read: random readers at once, everything exact, within the budget', async () => {
    const random = seeded(5);
    const pool = new BufferPool({ budgetBytes: 4 * 1024 * 1024 });
    const directory = testDirectory();
    const cache = await openTestCache(new Watched(BLOBS, pool), { chunks: CHUNKS, pool, directory, budgetBytes: 450_000 }); // prettier-ignore
    const reader = async (): Promise<void> => {
      for (let read = 0; read < 400; read += 1) {
        const length = 1 + Math.floor(random() ** 4 * 100_000);
        await expectRead(cache, Math.floor(random() * (BYTES.byteLength - length)), length);
      }
    };
    await Promise.all(Array.from({ length: 8 }, reader));
    await cache.idle();
    const { size, blocks } = await stat(join(directory, 'chunks.pack'));
    expect(Math.max(size, blocks * 512)).toBeLessThan(450_000);
    expect(cache.stats.evictedChunks).toBeGreaterThan(100);
    expect(cache.stats.hits).toBeGreaterThan(100);
    expect(pool.take(4 * 1024 * 1024), 'a lease was not given back').not.toBeInstanceOf(Promise);
  });
});
