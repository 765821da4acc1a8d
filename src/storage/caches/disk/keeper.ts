import type { Digest } from '../../../core/digest.js';
import type { ChunkDigest } from '../../chunk-lookup.js';
import type { Batch } from './batch.js';
import type { ChunkLog, NewChunk } from './chunk-log.js';
import type { DiskHealth } from './disk-health.js';
import type { Queue } from './pack-format.js';

/** Chunks are written in groups of so many bytes, or one that is longer. */
const GROUP_BYTES = 8 * 1024 * 1024;

interface Item extends NewChunk {
  readonly name: Digest;
  readonly queue: Queue;
  readonly done: (kept: boolean) => void;
}

/**
 * Writes verified chunks to the disk behind the readers' backs. What it has not written yet is bounded: where the disk is slower
 * than what comes, chunks are left out rather than readers held up.
 */
export class Keeper {
  readonly #log: () => ChunkLog | undefined;
  readonly #health: DiskHealth;
  readonly #pendingLimit: number;
  readonly #waiting: Item[] = [];
  #pendingBytes = 0;
  #running: Promise<void> | undefined;
  #closed = false;
  /** Chunks that were not kept. */
  skippedChunks = 0;

  constructor(log: () => ChunkLog | undefined, health: DiskHealth, pendingLimit: number) {
    this.#log = log;
    this.#health = health;
    this.#pendingLimit = pendingLimit;
  }

  /** Takes a chunk of a batch, which stays until it is written. Calls `done` once, at once if it is not taken. */
  offer(batch: Batch, chunk: ChunkDigest, done: (kept: boolean) => void): void {
    const log = this.#log();
    const { digest, length } = chunk;
    const full = this.#pendingBytes > 0 && this.#pendingBytes + length > this.#pendingLimit;
    if (log === undefined || this.#closed || full || !this.#health.usable || length > log.longestChunk) {
      this.skippedChunks += 1;
      done(false);
      return;
    }
    batch.retain();
    this.#pendingBytes += length;
    this.#waiting.push({
      name: digest,
      digest: Buffer.from(digest, 'hex'),
      length,
      parts: batch.parts(chunk),
      queue: log.queueOf(log.table.fingerprint(digest)),
      done: (kept) => {
        this.#pendingBytes -= length;
        if (!kept) this.skippedChunks += 1;
        done(kept);
        batch.release();
      },
    });
    this.#running ??= this.#run().finally(() => (this.#running = undefined));
  }

  /** Resolves when all that was taken is written or given up. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /** Takes nothing more, and gives up what it has not begun to write. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.idle();
  }

  async #run(): Promise<void> {
    // First whoever has brought them gets its own bytes.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) {
      const group = this.#nextGroup();
      const log = this.#log();
      let kept = 0;
      if (log !== undefined && !this.#closed && this.#health.usable) {
        try {
          kept = await log.append(group[0]?.queue ?? 'small', group);
          if (kept > 0) this.#health.worked();
        } catch (error) {
          this.#health.failed(error);
        }
      }
      // After a failure, some of them may have been written before.
      for (const [index, item] of group.entries())
        item.done(index < kept || (log !== undefined && log.table.find(item.name) !== -1));
    }
  }

  #nextGroup(): Item[] {
    const queue = this.#waiting[0]?.queue;
    let bytes = 0;
    let count = 0;
    for (const item of this.#waiting) {
      bytes += item.length;
      if (item.queue !== queue || (count > 0 && bytes > GROUP_BYTES)) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }
}
