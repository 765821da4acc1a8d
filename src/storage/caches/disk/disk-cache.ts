import { setMaxListeners } from 'node:events';
import { checkRange } from '../../../core/byte-range.js';
import { systemClock } from '../../../core/clock.js';
import { sha256, type Digest } from '../../../core/digest.js';
import { CalyxError } from '../../../core/errors.js';
import { Recent } from '../../../core/recent.js';
import { bufferBytes, type BufferPool } from '../../buffer-pool.js';
import { staticLease, subLease, type ByteSource, type Lease, type ReadOptions } from '../../byte-source.js';
import { chunksOf, type ChunkDigest } from '../../chunk-lookup.js';
import { Gate } from '../../gate.js';
import type { Batch } from './batch.js';
import { CacheDisk } from './cache-disk.js';
import { NONE } from './chunk-table.js';
import type { DiskCacheOptions, DiskCacheStats } from './disk-cache-options.js';
import { DiskHealth } from './disk-health.js';
import { Fetcher } from './fetcher.js';
import { Keeper } from './keeper.js';
import { pieceBytes, planRead, runsOf, type Piece } from './read-plan.js';

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

/** The disk did not have what it should; the read begins anew without it. */
class LostPieceError extends Error {}

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
  readonly #fetcher: Fetcher;
  readonly #keeper: Keeper;
  readonly #memory = new Recent<Digest, Uint8Array>(MEMORY_BYTES);
  /** Reads that hold some buffers while they wait for others; so few that others remain for those. */
  readonly #gathering: Gate;
  readonly #fetchBytes: number;
  readonly #counts = { hits: 0, joined: 0, misses: 0, hitBytes: 0, servedBytes: 0, damagedChunks: 0 };
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
    this.#keeper = new Keeper(
      () => this.#disk.log,
      this.#health,
      options.pendingBytes ?? DEFAULTS.pendingBytes,
    );
    const parallel = new Gate(options.parallelFetches ?? DEFAULTS.parallelFetches);
    this.#fetcher = new Fetcher(upstream, parallel, (batch, chunk) => this.#keep(batch, chunk));
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
    for (let attempt = 0; ; attempt += 1) {
      try {
        // Each attempt forgets what was lost; a disk that loses again and again is not asked any more.
        const lease = await this.#read(blob, chunks, offset, length, attempt < 3, signal);
        this.#counts.servedBytes += length;
        return lease;
      } catch (error) {
        if (!(error instanceof LostPieceError)) throw error;
        this.#checkOpen();
      }
    }
  }

  /** What it holds and has done. */
  get stats(): DiskCacheStats {
    const table = this.#disk.log?.table;
    const log = this.#disk.log?.counters;
    return {
      ...this.#counts,
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

  async #read(
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
    const leave = await this.#gathering.enter(this.#room(pieces, length), signal);
    // A signal warns of more than ten listeners, and a read may have more pieces.
    const all = new AbortController();
    setMaxListeners(0, all.signal);
    const abort = (): void => all.abort(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      signal?.throwIfAborted();
      this.#checkOpen();
      // Meanwhile others have read.
      const now = this.#plan(chunks, offset, length, useDisk);
      this.#room(now, length);
      return await gather(now.map((piece) => this.#begin(blob, piece, all.signal)));
    } finally {
      signal?.removeEventListener('abort', abort);
      leave();
    }
  }

  #plan(chunks: readonly ChunkDigest[], offset: number, length: number, useDisk: boolean): Piece[] {
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
        counts.hits += 1;
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
        counts.hits += piece.stored.length;
        counts.hitBytes += piece.length;
        return this.#readDisk(piece, signal);
    }
  }

  async #readDisk(piece: Piece & { kind: 'disk' }, signal: AbortSignal | undefined): Promise<Lease> {
    const disk = this.#disk;
    const { log } = disk;
    if (log === undefined) throw new LostPieceError();
    const [skip, bytes] = piece.verified ? [piece.skip, piece.length] : [0, pieceBytes(piece)];
    const runs = runsOf(piece.stored, skip, bytes);
    const time = this.#time;
    for (const { slot } of piece.stored) log.table.touch(slot, time);
    for (const { segment } of runs) log.pin(segment);
    try {
      const lease = await this.#pool.take(bytes, signal);
      try {
        await disk.read(runs, lease.buffer);
        if (piece.verified) return lease;
        this.#verify(piece, lease);
        return subLease(lease, piece.skip, piece.length);
      } catch (error) {
        lease.release();
        if (error instanceof LostPieceError) throw error;
        this.#checkOpen();
        this.#health.failed(error);
        for (const stored of piece.stored) disk.forget(stored);
        throw new LostPieceError();
      }
    } finally {
      for (const { segment } of runs) log.unpin(segment);
    }
  }

  /** Compares chunks from the disk with their digests; those that do not match are forgotten. */
  #verify(piece: Piece & { kind: 'disk' }, lease: Lease): void {
    let at = 0;
    let damaged = 0;
    for (const stored of piece.stored) {
      const { chunk } = stored;
      const right = sha256(...subLease(lease, at, chunk.length).parts) === chunk.digest;
      at += chunk.length;
      if (right) {
        this.#disk.confirm(stored);
        continue;
      }
      damaged += 1;
      this.#disk.forget(stored);
      this.#options.onTrouble?.(
        new CalyxError('corrupt', `${this.#disk.path} has wrong bytes for the chunk ${chunk.digest}`, {
          hint: 'it was fetched again; if this happens often, check the disk (dmesg, smartctl)',
        }),
      );
    }
    this.#counts.damagedChunks += damaged;
    if (damaged > 0) throw new LostPieceError();
  }

  #keep(batch: Batch, chunk: ChunkDigest): void {
    const table = this.#disk.log?.table;
    if (table !== undefined && table.find(chunk.digest) !== NONE) {
      this.#fetcher.forget(chunk.digest, batch);
      return;
    }
    this.#keeper.offer(batch, chunk, (kept) => {
      if (!kept && batch.partial && !this.#closed)
        this.#memory.set(chunk.digest, Buffer.concat(batch.parts(chunk)), chunk.length);
      this.#fetcher.forget(chunk.digest, batch);
    });
  }
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
