import { setMaxListeners } from 'node:events';
import { checkRange } from '../../../core/byte-range.js';
import { systemClock } from '../../../core/clock.js';
import type { Digest } from '../../../core/digest.js';
import { CalyxError } from '../../../core/errors.js';
import { Recent } from '../../../core/recent.js';
import { bufferBytes, type BufferPool } from '../../buffer-pool.js';
import { staticLease, type ByteSource, type Lease, type ReadOptions } from '../../byte-source.js';
import { chunksOf, type ChunkDigest } from '../../chunk-lookup.js';
import { Gate } from '../../gate.js';
import type { Batch } from './batch.js';
import { CacheDisk } from './cache-disk.js';
import { NONE } from './chunk-table.js';
import type { DiskCacheOptions, DiskCacheStats } from './disk-cache-options.js';
import { DiskHealth } from './disk-health.js';
import { DiskReader, LostPieceError } from './disk-reader.js';
import { Fetcher } from './fetcher.js';
import { Keeper } from './keeper.js';
import { pieceBytes, planRead, type Piece } from './read-plan.js';

const MIB = 1024 * 1024;
const DEFAULTS = {
  fetchBytes: 8 * MIB,
  parallelFetches: 8,
  pendingBytes: 32 * MIB,
  retryAfterMs: 30_000,
} as const;

/** Chunks that could not be kept on the disk stay in memory for whoever reads them piece by piece. */
const MEMORY_BYTES = 16 * MIB;

export type { DiskCacheOptions, DiskCacheStats } from './disk-cache-options.js';

/**
 * Keeps chunks of another source on the disk, within a budget, and serves them from there. Each chunk is compared with its SHA-256
 * when it comes from upstream, and after each start of the process before its first byte is served from the disk.
 *
 * Failures of the disk fail no read: it goes to upstream, whose errors are passed on as they are.
 */
export class DiskCache implements ByteSource {
  readonly name: string;
  readonly #upstream: ByteSource;
  readonly #options: DiskCacheOptions;
  readonly #pool: BufferPool;
  readonly #disk: CacheDisk;
  readonly #health: DiskHealth;
  readonly #reader: DiskReader;
  readonly #fetcher: Fetcher;
  readonly #keeper: Keeper;
  readonly #memory = new Recent<Digest, Uint8Array>(MEMORY_BYTES);
  /** True if some of them are there because the disk had failed. */
  #failedInto = false;
  /** Reads that hold some buffers while they wait for others; so few that others remain for those. */
  readonly #gathering: Gate;
  readonly #fetchBytes: number;
  readonly #counts = { memoryHits: 0, joined: 0, misses: 0, servedBytes: 0 };
  readonly #togetherBytes: number;
  #closed = false;

  private constructor(upstream: ByteSource, options: DiskCacheOptions) {
    const { budgetBytes } = options;
    this.name = upstream.name;
    this.#upstream = upstream;
    this.#options = options;
    this.#pool = options.pool;
    // So that one read from upstream leaves buffers for others.
    this.#fetchBytes = Math.min(options.fetchBytes ?? DEFAULTS.fetchBytes, this.#pool.budgetBytes / 4);
    this.#togetherBytes = options.togetherBytes ?? Math.min(Math.max(budgetBytes / 64, 32 * MIB), 256 * MIB);
    this.#health = new DiskHealth(
      options.clock ?? systemClock,
      options.retryAfterMs ?? DEFAULTS.retryAfterMs,
      (error) => options.onTrouble?.(error),
    );
    this.#disk = new CacheDisk(options, this.#health, () => this.#time);
    this.#reader = new DiskReader(
      this.#disk,
      this.#pool,
      this.#health,
      () => this.#time,
      (error) => options.onTrouble?.(error),
    );
    this.#keeper = new Keeper(
      () => this.#disk.log,
      this.#health,
      Math.min(options.pendingBytes ?? DEFAULTS.pendingBytes, this.#pool.budgetBytes / 2),
    );
    const parallel = new Gate(options.parallelFetches ?? DEFAULTS.parallelFetches);
    this.#fetcher = new Fetcher(
      upstream,
      parallel,
      (bytes, signal) => this.#keeper.reserve(bytes, signal),
      (batch, chunk, done) => this.#keep(batch, chunk, done),
    );
    this.#gathering = new Gate(this.#pool.budgetBytes / 2);
  }

  /**
   * Opens a cache before `upstream`, which it closes when it is closed. Chunks of an earlier run are there again.
   *
   * @throws CalyxError `usage` if the budget is too small, `busy` if another process owns the directory. A disk that fails is not an
   * error: it is told to `onTrouble` and tried again later
   */
  static async open(upstream: ByteSource, options: DiskCacheOptions): Promise<DiskCache> {
    const cache = new DiskCache(upstream, options);
    await cache.#disk.open();
    return cache;
  }

  async read(blob: Digest, offset: number, length: number, { signal }: ReadOptions = {}): Promise<Lease> {
    signal?.throwIfAborted();
    checkRange(offset, length);
    if (length === 0) return staticLease();
    this.#checkOpen();
    const chunks = chunksOf(this.#options.chunks, blob, offset, length);
    const [only] = chunks;
    let attempt = 0;
    // Mostly it is a part of one chunk that is there.
    let hit = only && chunks.length === 1 ? this.#reader.readHit(only, offset - only.offset, length, signal) : undefined; // prettier-ignore
    for (; ; attempt += 1) {
      try {
        // Each attempt forgets what was lost; a disk that loses again and again is not asked any more.
        const lease = await (hit ?? this.#read(blob, chunks, offset, length, attempt < 3, signal));
        this.#counts.servedBytes += length;
        return lease;
      } catch (error) {
        if (!(error instanceof LostPieceError)) throw error;
        this.#checkOpen();
        hit = undefined;
      }
    }
  }

  /** What it holds and has done. */
  get stats(): DiskCacheStats {
    const table = this.#disk.log?.table;
    const log = this.#disk.log?.counters;
    return {
      hits: this.#reader.counts.hits + this.#counts.memoryHits,
      joined: this.#counts.joined,
      misses: this.#counts.misses,
      hitBytes: this.#reader.counts.hitBytes,
      servedBytes: this.#counts.servedBytes,
      damagedChunks: this.#reader.counts.damagedChunks,
      budgetBytes: this.#options.budgetBytes,
      reservedBytes: this.#disk.reservedBytes,
      usedBytes: table?.bytes ?? 0,
      chunks: table?.size ?? 0,
      tableBytes: table?.memoryBytes ?? 0,
      fetchedBytes: this.#fetcher.fetchedBytes,
      writtenBytes: log?.writtenBytes ?? 0,
      carriedBytes: log?.carriedBytes ?? 0,
      evictedChunks: log?.evictedChunks ?? 0,
      evictedBytes: log?.evictedBytes ?? 0,
      skippedChunks: this.#keeper.skippedChunks,
      wrongChunks: this.#fetcher.wrongChunks,
      diskFailures: this.#health.failures,
      troubled: this.#health.troubled,
    };
  }

  /** Resolves when nothing waits to be written: for tests and measurements. */
  async idle(): Promise<void> {
    await this.#disk.idle();
    await this.#keeper.idle();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#fetcher.abort(new CalyxError('unavailable', `${this.name} is closed`));
    await this.#keeper.close();
    await this.#disk.close();
    await this.#upstream.close();
  }

  /** Goes round; see {@link DiskCacheOptions.togetherBytes}. */
  get #time(): number {
    return Math.floor(this.#counts.servedBytes / this.#togetherBytes) & 0xff;
  }

  #checkOpen(): void {
    if (this.#closed) throw new CalyxError('unavailable', `${this.name} is closed`);
  }

  #read(
    blob: Digest,
    chunks: readonly ChunkDigest[],
    offset: number,
    length: number,
    useDisk: boolean,
    signal: AbortSignal | undefined,
  ): Promise<Lease> {
    const pieces = this.#plan(chunks, offset, length, useDisk);
    const [only] = pieces;
    if (only !== undefined && pieces.length === 1) return this.#begin(blob, only, signal);
    const plan = (): Piece[] => this.#plan(chunks, offset, length, useDisk);
    return this.#gather(blob, plan, this.#room(pieces, length), signal);
  }

  /** Begins the pieces of a read when there is room for all of them. */
  async #gather(
    blob: Digest,
    plan: () => Piece[],
    room: number,
    signal: AbortSignal | undefined,
  ): Promise<Lease> {
    const leave = await this.#gathering.enter(room, signal);
    // A signal warns of more than ten listeners, and a read may have more pieces.
    const all = new AbortController();
    setMaxListeners(0, all.signal);
    const abort = (): void => all.abort(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      signal?.throwIfAborted();
      this.#checkOpen();
      // Meanwhile others have read.
      const pieces = plan();
      this.#room(pieces, bytesOf(pieces));
      return await gather(pieces.map((piece) => this.#begin(blob, piece, all.signal)));
    } finally {
      signal?.removeEventListener('abort', abort);
      leave();
    }
  }

  #plan(chunks: readonly ChunkDigest[], offset: number, length: number, useDisk: boolean): Piece[] {
    // What is in memory because the disk had failed may go to the disk now.
    if (this.#failedInto && this.#keeper.accepting) {
      this.#memory.clear();
      this.#failedInto = false;
    }
    const places = {
      memory: (digest: Digest) => this.#memory.get(digest),
      fetcher: this.#fetcher,
      table: useDisk ? this.#disk.log?.table : undefined,
      fetchBytes: this.#fetchBytes,
    };
    const pieces = planRead(chunks, offset, length, places);
    if (!useDisk || roomFor(pieces) <= this.#pool.budgetBytes / 2) return pieces;
    // Very many small chunks, of which every other one is there: by itself each takes the smallest buffer. Fewer reads fetch some again.
    return planRead(chunks, offset, length, { ...places, table: undefined });
  }

  /** Bytes of the buffers that pieces take together. Throws CalyxError `internal` if the pool can never have them. */
  #room(pieces: readonly Piece[], length: number): number {
    const bytes = roomFor(pieces);
    if (bytes <= this.#pool.budgetBytes) return bytes;
    const room = `the buffer pool of ${this.#pool.budgetBytes}`;
    throw new CalyxError('internal', `a read of ${length} bytes with all of its chunks does not fit ${room}`);
  }

  /** Begins to read a piece: what it needs is held from here on, before anything else can happen. */
  #begin(blob: Digest, piece: Piece, signal: AbortSignal | undefined): Promise<Lease> {
    const counts = this.#counts;
    switch (piece.kind) {
      case 'memory':
        counts.memoryHits += 1;
        this.#disk.wake();
        return Promise.resolve(staticLease(piece.bytes));
      case 'fetch':
        counts.misses += piece.chunks.length;
        this.#disk.wake();
        return this.#fetcher.start(blob, piece.chunks).read(piece.from, piece.length, signal);
      case 'flight': {
        counts.joined += 1;
        const flight = this.#fetcher.find(piece.digest);
        if (flight === undefined) return Promise.reject(new LostPieceError());
        return flight.batch.read(flight.chunk.offset + piece.skip, piece.length, signal);
      }
      case 'disk':
        return this.#reader.read(piece, signal);
    }
  }

  #keep(batch: Batch, chunk: ChunkDigest, done: () => void): void {
    const end = (kept: boolean): void => {
      if (!kept && batch.partial && !this.#closed) {
        this.#memory.set(chunk.digest, Buffer.concat(batch.parts(chunk)), chunk.length);
        this.#failedInto ||= !this.#keeper.accepting;
      }
      this.#fetcher.forget(chunk.digest, batch);
      done();
    };
    const table = this.#disk.log?.table;
    if (table !== undefined && table.find(chunk.digest) !== NONE) end(true);
    else this.#keeper.offer(batch, chunk, end);
  }
}

function bytesOf(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

/** Bytes of the buffers that pieces take together. */
function roomFor(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, piece) => sum + bufferBytes(pieceBytes(piece)), 0);
}

/** The leases one after the other, as one; none of them is left over if one fails. */
async function gather(reads: readonly Promise<Lease>[]): Promise<Lease> {
  const outcomes = await Promise.allSettled(reads);
  const leases = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const release = (): void => {
    for (const lease of leases) lease.release();
  };
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed === undefined) return { parts: leases.flatMap(({ parts }) => parts), release };
  release();
  throw failed.reason;
}
