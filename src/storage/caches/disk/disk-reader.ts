import { sha256 } from '../../../core/digest.js';
import { CalyxError } from '../../../core/errors.js';
import type { BufferPool } from '../../buffer-pool.js';
import { subLease, type Lease } from '../../byte-source.js';
import type { ChunkDigest } from '../../chunk-lookup.js';
import type { CacheDisk } from './cache-disk.js';
import type { ChunkLog } from './chunk-log.js';
import { NONE } from './chunk-table.js';
import type { DiskHealth } from './disk-health.js';
import { pieceBytes, runsOf, type Piece, type StoredChunk } from './read-plan.js';

/** The disk did not have what it should; a read begins anew without it. */
export class LostPieceError extends Error {}

/** Reads chunks from the cache's disk into buffers of a pool. What cannot be read or is damaged is forgotten. */
export class DiskReader {
  /** Chunks and bytes that were asked of the disk, and chunks that did not match their digests. */
  readonly counts = { hits: 0, hitBytes: 0, damagedChunks: 0 };
  readonly #disk: CacheDisk;
  readonly #pool: BufferPool;
  readonly #health: DiskHealth;
  readonly #now: () => number;
  readonly #onDamaged: (error: CalyxError) => void;

  constructor(
    disk: CacheDisk,
    pool: BufferPool,
    health: DiskHealth,
    now: () => number,
    onDamaged: (error: CalyxError) => void,
  ) {
    this.#disk = disk;
    this.#pool = pool;
    this.#health = health;
    this.#now = now;
    this.#onDamaged = onDamaged;
  }

  /** The short way for a part of one chunk; undefined if it is not there or not yet verified. Rejects with {@link LostPieceError}. */
  readHit(
    chunk: ChunkDigest,
    skip: number,
    length: number,
    signal?: AbortSignal,
  ): Promise<Lease> | undefined {
    const { log } = this.#disk;
    const slot = log?.table.find(chunk.digest) ?? NONE;
    if (log === undefined || slot === NONE || !log.table.isVerified(slot)) return undefined;
    if (log.table.length(slot) !== chunk.length) return undefined;
    log.table.touch(slot, this.#now());
    this.counts.hits += 1;
    this.counts.hitBytes += length;
    const [segment, offset] = [log.table.segment(slot), log.table.offset(slot)];
    return this.#readHit(log, { chunk, slot, segment, offset }, skip, length, signal);
  }

  /** Reads a piece, and compares its chunks with their digests if that was not done. Rejects with {@link LostPieceError}. */
  async read(piece: Piece & { kind: 'disk' }, signal: AbortSignal | undefined): Promise<Lease> {
    const { log } = this.#disk;
    if (log === undefined) throw new LostPieceError();
    this.counts.hits += piece.stored.length;
    this.counts.hitBytes += piece.length;
    const [skip, bytes] = piece.verified ? [piece.skip, piece.length] : [0, pieceBytes(piece)];
    const runs = runsOf(piece.stored, skip, bytes);
    const time = this.#now();
    for (const { slot } of piece.stored) log.table.touch(slot, time);
    for (const { segment } of runs) log.pin(segment);
    try {
      const lease = await this.#pool.take(bytes, signal);
      try {
        await this.#disk.read(runs, lease.buffer);
        if (piece.verified) return lease;
        this.#verify(piece, lease);
        return subLease(lease, piece.skip, piece.length);
      } catch (error) {
        lease.release();
        throw this.#lose(piece.stored, error);
      }
    } finally {
      for (const { segment } of runs) log.unpin(segment);
    }
  }

  async #readHit(
    log: ChunkLog,
    stored: StoredChunk,
    skip: number,
    length: number,
    signal: AbortSignal | undefined,
  ): Promise<Lease> {
    log.pin(stored.segment);
    try {
      const taken = this.#pool.take(length, signal);
      const lease = taken instanceof Promise ? await taken : taken;
      try {
        await this.#disk.readRun(stored.segment, stored.offset + skip, lease.buffer);
        return lease;
      } catch (error) {
        lease.release();
        throw this.#lose([stored], error);
      }
    } finally {
      log.unpin(stored.segment);
    }
  }

  #lose(stored: readonly StoredChunk[], error: unknown): LostPieceError {
    if (error instanceof LostPieceError) return error;
    // While it closes, nothing is wrong with the disk.
    if (this.#disk.log !== undefined) this.#health.failed(error);
    for (const each of stored) this.#disk.forget(each);
    return new LostPieceError();
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
      this.#onDamaged(
        new CalyxError('corrupt', `${this.#disk.path} has wrong bytes for the chunk ${chunk.digest}`, {
          hint: 'it is fetched again; if this happens often, check the disk (dmesg, smartctl)',
        }),
      );
    }
    this.counts.damagedChunks += damaged;
    if (damaged > 0) throw new LostPieceError();
  }
}
