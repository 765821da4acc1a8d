import type { Digest } from '../../../core/digest.js';
import type { ChunkDigest } from '../../chunk-lookup.js';
import { Gate } from '../../gate.js';
import type { Batch } from './batch.js';
import type { ChunkLog, NewChunk } from './chunk-log.js';
import type { DiskHealth } from './disk-health.js';
import type { Queue } from './pack-format.js';

/** Chunks are written in groups of so many bytes, or one that is longer: a group waits for two turns of a busy event loop. */
const GROUP_BYTES = 32 * 1024 * 1024;

interface Item extends NewChunk {
  readonly name: Digest;
  readonly queue: Queue;
  readonly done: (kept: boolean) => void;
}

/** So long a fetch waits for the disk to take what came before. */
const PATIENCE_MS = 100;

/**
 * Writes verified chunks to the disk behind the readers' backs. What it has not written yet is bounded: fetches wait a moment for the
 * disk, and where it is slower than what comes, chunks are left out rather than readers held up.
 */
export class Keeper {
  readonly #log: () => ChunkLog | undefined;
  readonly #health: DiskHealth;
  readonly #gate: Gate;
  readonly #waiting: Item[] = [];
  #running: Promise<void> | undefined;
  #closed = false;
  /** True from a wait in vain on until the disk has taken something: nobody else waits then. */
  #slow = false;
  /** Chunks that were not kept. */
  skippedChunks = 0;

  constructor(log: () => ChunkLog | undefined, health: DiskHealth, pendingBytes: number) {
    this.#log = log;
    this.#health = health;
    this.#gate = new Gate(pendingBytes);
  }

  /** True if chunks that come now may be kept. */
  get accepting(): boolean {
    return this.#log() !== undefined && !this.#closed && this.#health.usable;
  }

  /**
   * Reserves room for bytes that are to be fetched and then offered. Resolves with what gives it back, or undefined if they will not be
   * kept; rejects with the signal's reason.
   */
  async reserve(bytes: number, signal: AbortSignal): Promise<(() => void) | undefined> {
    if (!this.accepting) return undefined;
    const entered = this.#gate.tryEnter(bytes);
    if (entered !== undefined || this.#slow) return entered;
    try {
      return await this.#gate.enter(bytes, AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]));
    } catch {
      signal.throwIfAborted();
      this.#slow = true;
      return undefined;
    }
  }

  /** Takes a chunk of a batch, which stays until it is written. Calls `done` once, at once if it is not taken. */
  offer(batch: Batch, chunk: ChunkDigest, done: (kept: boolean) => void): void {
    const log = this.#log();
    const { digest, length } = chunk;
    if (log === undefined || !this.accepting || !batch.reserved || length > log.longestChunk) {
      this.skippedChunks += 1;
      done(false);
      return;
    }
    batch.retain();
    this.#waiting.push({
      name: digest,
      digest: Buffer.from(digest, 'hex'),
      length,
      parts: batch.parts(chunk),
      queue: log.queueOf(log.table.fingerprint(digest)),
      done: (kept) => {
        if (kept) this.#slow = false;
        else this.skippedChunks += 1;
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
