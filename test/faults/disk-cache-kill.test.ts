import { spawn } from 'node:child_process';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { BufferPool } from '../../src/storage/buffer-pool.js';
import { bytesOf } from '../support/blobs.js';
import { openTestCache } from '../support/disk-caches.js';
import { testDirectory } from '../support/directories.js';
import { KILL_BUDGET_BYTES, KILL_SEGMENT_BYTES, killModel } from '../support/kill-model.js';
import { MemorySource } from '../support/memory-source.js';
import { seeded } from '../support/seeded.js';

const KILLS = 20;
const program = fileURLToPath(new URL('../support/cache-process.js', import.meta.url));

/** Kills a reading process after so many of its lines; resolves with the chunks that it found at its start. */
async function killAfter(lines: number, directory: string, seed: number): Promise<number> {
  const child = spawn(process.execPath, [program, directory, `${seed}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<NodeJS.Signals | null>((resolve) =>
    child.once('exit', (_, signal) => resolve(signal)),
  );
  let found: number | undefined;
  let seen = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    found ??= (JSON.parse(line) as { chunks: number }).chunks;
    seen += 1;
    if (seen === lines) child.kill('SIGKILL');
  }
  expect(await ended, 'it ended by itself').toBe('SIGKILL');
  return found ?? -1;
}

it(`kill -9 at ${KILLS} points: no wrong byte, no damaged chunk, and no space is lost`, async () => {
  const directory = testDirectory();
  const random = seeded(77);
  for (let kill = 0; kill < KILLS; kill += 1) {
    const found = await killAfter(1 + Math.floor(random() * 20), directory, kill);
    // The first ones may be killed before anything was kept.
    if (kill > 5) expect(found).toBeGreaterThan(5);
    const pack = await stat(join(directory, 'chunks.pack'));
    expect(Math.max(pack.size, pack.blocks * 512)).toBeLessThan(KILL_BUDGET_BYTES);
  }
  const { blob, bytes, chunks } = killModel();
  const cache = await openTestCache(
    new MemorySource('upstream', new Map([[blob, bytes]]), new BufferPool()),
    {
      directory,
      chunks,
      budgetBytes: KILL_BUDGET_BYTES,
      segmentBytes: KILL_SEGMENT_BYTES,
    },
  );
  for (let at = 0; at < bytes.byteLength; at += 500_000) {
    const lease = await cache.read(blob, at, 500_000);
    expect(bytesOf(lease).equals(bytes.subarray(at, at + 500_000))).toBe(true);
    lease.release();
  }
  await cache.idle();
  expect(cache.stats.damagedChunks).toBe(0);
  // Segments are as full as they were in a cache that nobody killed.
  expect(cache.stats.usedBytes).toBeGreaterThan(KILL_BUDGET_BYTES / 2);
  await cache.close();
  expect(await readdir(directory)).toEqual(['chunks.pack']);
}, 180_000);
