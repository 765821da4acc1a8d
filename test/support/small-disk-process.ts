// Run in a mount namespace of its own: small-disk-process.js DIRECTORY. On a disk that is too small and then grows, and on one that is
// read-only and then is not, a cache serves every byte; writes what it counted as JSON.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { BufferPool } from '../../src/storage/buffer-pool.js';
import { DiskCache } from '../../src/storage/caches/disk/disk-cache.js';
import { KILL_BUDGET_BYTES, KILL_SEGMENT_BYTES, killModel } from './kill-model.js';
import { ManualClock } from './manual-clock.js';
import { MemorySource } from './memory-source.js';

const [directory = ''] = process.argv.slice(2);
const { blob, bytes, chunks } = killModel();
const clock = new ManualClock();

function mount(...args: string[]): void {
  const { status, stderr } = spawnSync('mount', [...args, directory], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
}

async function readAll(cache: DiskCache): Promise<void> {
  for (let at = 0; at < bytes.byteLength; at += 250_000) {
    const lease = await cache.read(blob, at, 250_000);
    if (!Buffer.concat(lease.parts).equals(bytes.subarray(at, at + 250_000))) throw new Error('wrong bytes');
    lease.release();
    await cache.idle();
  }
}

async function observe(prepare: string[], mend: string[]) {
  mount(...prepare);
  const told: string[] = [];
  const pool = new BufferPool();
  const cache = await DiskCache.open(new MemorySource('upstream', new Map([[blob, bytes]]), pool), {
    directory: join(directory, 'cache'),
    budgetBytes: KILL_BUDGET_BYTES,
    segmentBytes: KILL_SEGMENT_BYTES,
    chunks,
    pool,
    clock,
    retryAfterMs: 1000,
    onTrouble: ({ code, message }) => told.push(`${code}: ${message}`),
    description: 'a test',
  });
  await readAll(cache);
  clock.advance(1000);
  await readAll(cache);
  const ill = cache.stats;
  mount(...mend);
  clock.advance(1000);
  await readAll(cache);
  await readAll(cache);
  const well = cache.stats;
  await cache.close();
  return { told, ill, well };
}

mkdirSync(directory, { recursive: true });
mount('-t', 'tmpfs', '-o', 'size=1500k', 'none');
const full = await observe(['-o', 'remount,size=1500k'], ['-o', 'remount,size=8m']);
const readOnly = await observe(['-o', 'remount,ro'], ['-o', 'remount,rw']);
process.stdout.write(JSON.stringify({ full, readOnly }));
