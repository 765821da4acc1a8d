import { ChunkTable, NONE } from './chunk-table.js';
import { GhostList } from './ghost-list.js';
import { loadSegments } from './load-segments.js';
import type { PackFile } from './pack-file.js';
import { ENTRY_BYTES, encodeEntry, encodeSegmentHead, type Queue } from './pack-format.js';
import { longestChunk, type Segment } from './segment.js';

/** A chunk to be written. */
export interface NewChunk {
  /** 32 bytes. */
  readonly digest: Uint8Array;
  readonly length: number;
  readonly parts: readonly Uint8Array[];
}

/** What a {@link ChunkLog} has done. */
export interface LogCounters {
  evictedChunks: number;
  evictedBytes: number;
  /** Bytes of chunks that were read again and therefore moved on instead of being evicted. */
  carriedBytes: number;
  writtenBytes: number;
}

/** The small queue's share of the cache, as in S3-FIFO. */
const SMALL_SHARE = 0.1;
/** For each byte that an eviction frees, at most so much is carried over, so that what is written is at most doubled. */
const CARRY_SHARE = 0.5;
/** What was not carried over earlier may be later, up to so many segments at once. */
const MAX_CARRY_SEGMENTS = 8;

/**
 * The segments as two FIFO queues, and which of their chunks go when there is no room: S3-FIFO (Yang, Zhang, Qiu, Yue and Rashmi,
 * "FIFO queues are all you need for cache eviction", SOSP 2023), which needs no order but that of the log. A chunk enters the
 * small queue, a tenth of the cache. When its segment is the oldest of that, the chunk is carried over into the main queue if it
 * was read again, else it goes; so a scan passes through the small queue alone. From the main queue it goes when it was not read
 * since it was carried over last. One that was evicted lately and comes again enters the main queue at once.
 *
 * Only one call of {@link append} may be under way.
 */
export class ChunkLog {
  readonly table: ChunkTable;
  readonly counters: LogCounters = { evictedChunks: 0, evictedBytes: 0, carriedBytes: 0, writtenBytes: 0 };
  readonly #file: PackFile;
  readonly #segments: readonly Segment[];
  readonly #ghosts = new GhostList();
  /** Oldest first. */
  readonly #sealed: Readonly<Record<Queue, Segment[]>> = { small: [], main: [] };
  readonly #active: Record<Queue, Segment | undefined> = { small: undefined, main: undefined };
  readonly #free: Segment[] = [];
  readonly #now: () => number;
  #generation = 0;
  #carryCredit: number;
  #carryBuffer: Buffer | undefined;

  private constructor(file: PackFile, table: ChunkTable, segments: readonly Segment[], now: () => number) {
    this.#file = file;
    this.table = table;
    this.#segments = segments;
    this.#now = now;
    this.#carryCredit = MAX_CARRY_SEGMENTS * file.geometry.segmentBytes;
    const used = segments.filter(({ generation }) => generation > 0);
    for (const segment of used.sort((a, b) => a.generation - b.generation)) {
      this.#generation = segment.generation;
      this.#seal(segment.queue);
      this.#active[segment.queue] = segment;
    }
    this.#free.push(...segments.filter(({ generation }) => generation === 0));
  }

  /** @param now the time of uses, as {@link ChunkTable.touch} wants it */
  static async open(file: PackFile, now: () => number): Promise<ChunkLog> {
    const table = new ChunkTable();
    return new ChunkLog(file, table, await loadSegments(file, table), now);
  }

  /** The longest chunk that it takes. */
  get longestChunk(): number {
    return longestChunk(this.#file.geometry.segmentBytes);
  }

  /** From now on a segment is used for nothing else, until {@link unpin}. */
  pin(index: number): void {
    const segment = this.#segments[index];
    if (segment !== undefined) segment.readers += 1;
  }

  unpin(index: number): void {
    const segment = this.#segments[index];
    if (segment === undefined) return;
    segment.readers -= 1;
    if (segment.readers > 0 || !segment.draining) return;
    segment.draining = false;
    this.#free.push(segment);
  }

  /** Into which queue a chunk goes that comes now. */
  queueOf(print: number): Queue {
    return this.#ghosts.has(print) ? 'main' : 'small';
  }

  /**
   * Writes chunks and adds them to the table, each when its bytes and its entry are written.
   *
   * @returns how many of them, from the first on; fewer than all if what is in use leaves no room now
   * @throws CalyxError if the disk fails; chunks that are not in the table then were not written
   */
  async append(queue: Queue, chunks: readonly NewChunk[]): Promise<number> {
    let done = 0;
    while (done < chunks.length) {
      const segment = await this.#room(queue, chunks[done]?.length ?? 0);
      if (segment === undefined) break;
      const written = await this.#write(segment, chunks.slice(done));
      if (written === 0) break;
      done += written;
    }
    return done;
  }

  /** Writes as many of the chunks as the segment has room for. */
  async #write(segment: Segment, chunks: readonly NewChunk[]): Promise<number> {
    let bytes = 0;
    let count = 0;
    for (; count < chunks.length; count += 1) {
      const length = chunks[count]?.length ?? 0;
      if (!segment.fits(bytes + length, count + 1)) break;
      bytes += length;
    }
    const taken = chunks.slice(0, count);
    const entries = Buffer.alloc(count * ENTRY_BYTES);
    let offset = segment.end;
    for (const [index, { digest, length }] of taken.entries()) {
      encodeEntry(
        entries,
        entries.byteLength - (index + 1) * ENTRY_BYTES,
        segment.seed,
        digest,
        offset,
        length,
      );
      offset += length;
    }
    // An entry is written when the bytes are: whoever is killed between the two leaves bytes that nothing names.
    await this.#file.write(
      segment.index,
      segment.end,
      taken.flatMap(({ parts }) => parts),
    );
    await this.#file.write(segment.index, segment.entryOffset(segment.entries + count - 1), [entries]);
    for (const { digest, length } of taken) {
      const slot = this.table.add(segment, digest, segment.index, segment.end, length, this.#now());
      this.table.setVerified(slot);
      segment.end += length;
      segment.entries += 1;
    }
    this.counters.writtenBytes += bytes;
    return count;
  }

  /** A segment of the queue with room for a chunk of `length`, after evictions where they are needed. */
  async #room(queue: Queue, length: number): Promise<Segment | undefined> {
    const active = this.#active[queue];
    if (active?.fits(length) === true) return active;
    this.#seal(queue);
    // One stays free, to carry chunks over into.
    while (this.#free.length < 2) if (!(await this.#evict())) return undefined;
    return this.#begin(queue);
  }

  #seal(queue: Queue): void {
    const active = this.#active[queue];
    if (active !== undefined) this.#sealed[queue].push(active);
    this.#active[queue] = undefined;
  }

  async #begin(queue: Queue): Promise<Segment | undefined> {
    const segment = this.#free.shift();
    if (segment === undefined) return undefined;
    const head = { queue, generation: this.#generation + 1 };
    try {
      // From here on, entries of what it held before are those of another generation.
      await this.#file.write(segment.index, segment.headOffset, [encodeSegmentHead(head)]);
    } catch (error) {
      this.#free.push(segment);
      throw error;
    }
    this.#generation += 1;
    segment.begin(head);
    this.#active[queue] = segment;
    return segment;
  }

  /** Frees the segment whose turn it is, or the next one if somebody reads that. False if there is none. */
  async #evict(): Promise<boolean> {
    const { small, main } = this.#sealed;
    const target = Math.max(1, Math.floor(this.#segments.length * SMALL_SHARE));
    const order = small.length >= target ? [small, main] : [main, small];
    for (const queue of order) {
      const at = queue.findIndex(({ readers }) => readers === 0);
      const victim = queue[at];
      if (victim === undefined) continue;
      queue.splice(at, 1);
      try {
        await this.#carryOver(victim);
      } catch (error) {
        queue.unshift(victim);
        throw error;
      }
      this.table.release(victim);
      victim.draining = victim.readers > 0;
      if (!victim.draining) this.#free.push(victim);
      return true;
    }
    return false;
  }

  /** Moves chunks that were read again to the main queue and forgets the others. */
  async #carryOver(victim: Segment): Promise<void> {
    const { table, counters } = this;
    const segmentBytes = this.#file.geometry.segmentBytes;
    this.#carryCredit = Math.min(
      this.#carryCredit + segmentBytes * CARRY_SHARE,
      MAX_CARRY_SEGMENTS * segmentBytes,
    );
    const hot: number[] = [];
    for (let slot = victim.first; slot !== NONE; slot = table.next(slot)) {
      if (!table.isLive(slot)) continue;
      if (table.uses(slot) > 0 && table.length(slot) <= this.#carryCredit) {
        this.#carryCredit -= table.length(slot);
        hot.push(slot);
        continue;
      }
      counters.evictedChunks += 1;
      counters.evictedBytes += table.length(slot);
      if (victim.queue === 'small') this.#ghosts.add(table.fingerprintOf(slot), Math.max(table.size, 64));
      table.remove(slot);
    }
    for (const slot of hot) await this.#carry(victim, slot);
  }

  async #carry(victim: Segment, slot: number): Promise<void> {
    const { table } = this;
    const length = table.length(slot);
    if ((this.#carryBuffer?.byteLength ?? 0) < length) this.#carryBuffer = Buffer.allocUnsafeSlow(length);
    const part = (this.#carryBuffer ?? Buffer.alloc(0)).subarray(0, length);
    await this.#file.read(victim.index, table.offset(slot), part);
    // It may have been found to be damaged meanwhile.
    if (!table.isLive(slot)) return;
    const target = this.#carryTarget(length) ?? (await this.#begin('main'));
    if (target === undefined) {
      table.remove(slot);
      return;
    }
    const verified = table.isVerified(slot);
    const uses = victim.queue === 'main' ? table.uses(slot) - 1 : 0;
    await this.#write(target, [{ digest: Uint8Array.from(table.digestBytes(slot)), length, parts: [part] }]);
    table.mark(target.last, verified, uses);
    this.counters.carriedBytes += length;
  }

  /** The main queue's segment if it has room; otherwise that is sealed. */
  #carryTarget(length: number): Segment | undefined {
    const active = this.#active.main;
    if (active?.fits(length) === true) return active;
    this.#seal('main');
    return undefined;
  }
}
