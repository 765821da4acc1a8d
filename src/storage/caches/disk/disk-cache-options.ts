import type { Clock } from '../../../core/clock.js';
import type { CalyxError } from '../../../core/errors.js';
import type { BufferPool } from '../../buffer-pool.js';
import type { ChunkLookup } from '../../chunk-lookup.js';

/** Options of {@link DiskCache}. */
export interface DiskCacheOptions {
  /** Holds the cache and nothing else; it is made if it is not there. */
  readonly directory: string;
  /** What all of it may take on the disk, at least 18 MiB. */
  readonly budgetBytes: number;
  /** How blobs are cut. */
  readonly chunks: ChunkLookup;
  /** Lends buffers for reads from the disk; upstream may share it. */
  readonly pool: BufferPool;
  /** Who owns the directory, for others that want it too, e.g. `calyx store (process 4711)`. */
  readonly description: string;
  /** Adjacent chunks are fetched together up to so many bytes. @default 8388608 (8 MiB) */
  readonly fetchBytes?: number;
  /** Reads from upstream at the same time. @default 8 */
  readonly parallelFetches?: number;
  /** Bytes that are being fetched or wait to be written; at most half of the pool. @default 33554432 (32 MiB) */
  readonly pendingBytes?: number;
  /** After the disk has failed, when it is tried again. @default 30000 */
  readonly retryAfterMs?: number;
  /**
   * Uses of a chunk count as one while fewer bytes than this were served in between: who reads a chunk piece by piece does not use it
   * often. @default a 64th of the budget, at least 32 MiB and at most 256 MiB
   */
  readonly togetherBytes?: number;
  /** Of a new cache; the longest chunk and its entry must fit. @default what suits the budget: at least room for one chunk of 4 MiB */
  readonly segmentBytes?: number;
  /** Told once when the disk fails, until it has worked again, and of each chunk that was damaged on it. */
  readonly onTrouble?: (error: CalyxError) => void;
  readonly clock?: Clock;
}

/** What a cache holds and has done. Counters only grow. */
export interface DiskCacheStats {
  readonly budgetBytes: number;
  /** What the pack file may take at most; it is reserved from the start. */
  readonly reservedBytes: number;
  /** Bytes of the chunks that are there. */
  readonly usedBytes: number;
  readonly chunks: number;
  /** Memory of the table of chunks. */
  readonly tableBytes: number;
  /** Chunks of reads that were there, that another read was fetching already, and that had to be fetched. */
  readonly hits: number;
  readonly joined: number;
  readonly misses: number;
  /** Bytes of reads that came from the disk, and all of them. */
  readonly hitBytes: number;
  readonly servedBytes: number;
  readonly fetchedBytes: number;
  readonly writtenBytes: number;
  readonly carriedBytes: number;
  readonly evictedChunks: number;
  readonly evictedBytes: number;
  /** Chunks that were served and not kept. */
  readonly skippedChunks: number;
  /** Chunks that upstream sent wrong. */
  readonly wrongChunks: number;
  /** Chunks whose bytes on the disk did not match. They were fetched again. */
  readonly damagedChunks: number;
  readonly diskFailures: number;
  /** True from a failure of the disk on until a write succeeds. */
  readonly troubled: boolean;
}
