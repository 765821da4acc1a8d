// Run as a process of its own: cache-process.js DIRECTORY SEED. Reads a model at random through a cache and compares every byte, until it is
// killed; tells of every tenth read. Ends with an error if a byte is wrong or a chunk on the disk was damaged.
import { BufferPool } from '../../src/storage/buffer-pool.js';
import { DiskCache } from '../../src/storage/caches/disk/disk-cache.js';
import { KILL_BUDGET_BYTES, KILL_SEGMENT_BYTES, killModel } from './kill-model.js';
import { MemorySource } from './memory-source.js';
import { nextTurn } from './scripted-source.js';
import { seeded } from './seeded.js';

const [directory = '', seed = '0'] = process.argv.slice(2);
const { blob, bytes, chunks } = killModel();
const random = seeded(Number(seed));
const pool = new BufferPool();
const cache = await DiskCache.open(new MemorySource('upstream', new Map([[blob, bytes]]), pool), {
  directory,
  budgetBytes: KILL_BUDGET_BYTES,
  segmentBytes: KILL_SEGMENT_BYTES,
  chunks,
  pool,
  // Chunks become hot soon, so that some are carried over all the time.
  togetherBytes: 100_000,
  description: 'a process to be killed',
});
process.stdout.write(`${JSON.stringify({ chunks: cache.stats.chunks })}\n`);
for (let reads = 1; ; reads += 1) {
  const length = 1 + Math.floor(random() * 400_000);
  const offset = Math.floor(random() ** 2 * (bytes.byteLength - length));
  const lease = await cache.read(blob, offset, length);
  if (!Buffer.concat(lease.parts).equals(bytes.subarray(offset, offset + length)))
    throw new Error('wrong bytes');
  lease.release();
  // A source in memory leaves the event loop no turn for the disk.
  await nextTurn();
  const { damagedChunks, diskFailures } = cache.stats;
  if (damagedChunks + diskFailures > 0) throw new Error(`${damagedChunks} damaged, ${diskFailures} failures`);
  if (reads % 10 === 0) process.stdout.write(`${JSON.stringify({ reads })}\n`);
}
