import type { Digest } from '../../../core/digest.js';
import { abortable } from '../../abortable.js';
import { subLease, type Lease } from '../../byte-source.js';
import type { ChunkDigest } from '../../chunk-lookup.js';

/**
 * Adjacent chunks of a blob that are fetched by one read from upstream, and their bytes as long as anybody uses them: readers, and
 * the writer that keeps them. When nobody does any more the read is aborted, or its bytes are given back.
 */
export class Batch {
  readonly blob: Digest;
  readonly chunks: readonly ChunkDigest[];
  readonly offset: number;
  readonly length: number;
  /** True if somebody wants less than all of it, so more of it may be wanted soon. */
  partial = false;
  #users = 0;
  #ended = false;
  #lease: Lease | undefined;
  readonly #failures = new Map<Digest, unknown>();
  readonly #controller = new AbortController();
  readonly #onUnused: (batch: Batch) => void;
  #reservation: (() => void) | undefined;
  #ready: Promise<void> | undefined;

  constructor(blob: Digest, chunks: readonly ChunkDigest[], onUnused: (batch: Batch) => void) {
    this.blob = blob;
    this.chunks = chunks;
    this.offset = chunks[0]?.offset ?? 0;
    this.length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    this.#onUnused = onUnused;
  }

  /**
   * @param fetch reads and verifies; what it fails with is what all readers get
   * @param onReady is called when the bytes are there and somebody uses them
   */
  begin(fetch: (signal: AbortSignal) => Promise<Lease>, onReady: () => void): void {
    this.#ready = (async () => {
      try {
        const lease = await fetch(this.#controller.signal);
        this.#ended = true;
        if (this.#users === 0) {
          lease.release();
          this.unreserve();
          return;
        }
        this.#lease = lease;
        onReady();
      } catch (error) {
        this.#ended = true;
        this.unreserve();
        throw error;
      }
    })();
    this.#ready.catch(() => undefined);
  }

  /** True while there is room for its chunks among those that wait to be written. */
  get reserved(): boolean {
    return this.#reservation !== undefined;
  }

  reserve(reservation: (() => void) | undefined): void {
    this.#reservation = reservation;
  }

  unreserve(): void {
    this.#reservation?.();
    this.#reservation = undefined;
  }

  /** Notes that a chunk cannot be had; the others can. */
  fail(chunk: ChunkDigest, error: unknown): void {
    this.#failures.set(chunk.digest, error);
  }

  failed(chunk: ChunkDigest): boolean {
    return this.#failures.has(chunk.digest);
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  retain(): void {
    this.#users += 1;
  }

  release(): void {
    this.#users -= 1;
    if (this.#users > 0) return;
    this.#onUnused(this);
    // Aborting makes an exception with a stack, which is too dear for each read that went well.
    if (!this.#ended) this.#controller.abort();
    this.#lease?.release();
    this.#lease = undefined;
  }

  /** Bytes of its chunks, as soon as they are there and right. The reader counts as a user until it has given them back. */
  async read(offset: number, length: number, signal: AbortSignal | undefined): Promise<Lease> {
    if (length < this.length) this.partial = true;
    this.retain();
    try {
      await abortable(this.#ready ?? Promise.resolve(), signal);
      for (const chunk of this.chunks) {
        const wanted = chunk.offset < offset + length && offset < chunk.offset + chunk.length;
        if (wanted && this.#failures.has(chunk.digest)) throw this.#failures.get(chunk.digest);
      }
      const { parts } = subLease(this.#bytes(), offset - this.offset, length);
      let held = true;
      return {
        parts,
        release: () => {
          if (held) this.release();
          held = false;
        },
      };
    } catch (error) {
      this.release();
      throw error;
    }
  }

  /** The bytes of one of its chunks, for a user. */
  parts(chunk: ChunkDigest): readonly Uint8Array[] {
    return subLease(this.#bytes(), chunk.offset - this.offset, chunk.length).parts;
  }

  #bytes(): Lease {
    if (this.#lease === undefined) throw new Error('the bytes of a batch were given back');
    return this.#lease;
  }
}
