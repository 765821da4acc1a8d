import { sha256, type Digest } from '../../../core/digest.js';
import { subLease, type ByteSource, type Lease } from '../../byte-source.js';
import { WrongChunkError, type ChunkDigest } from '../../chunk-lookup.js';
import type { Gate } from '../../gate.js';
import { Batch } from './batch.js';

/** A chunk that is being fetched, or is there and not yet kept. */
export interface Flight {
  readonly batch: Batch;
  /** Where the batch has it: maybe at another place, or in another blob, with the same content. */
  readonly chunk: ChunkDigest;
}

/** Is given a chunk of a batch that has its bytes, and calls `done` when it is kept elsewhere or given up. */
export type OnVerified = (batch: Batch, chunk: ChunkDigest, done: () => void) => void;

/** Fetches chunks from upstream, each once however many wait for it, and verifies them. */
export class Fetcher {
  readonly #upstream: ByteSource;
  readonly #gate: Gate;
  readonly #flights = new Map<Digest, Flight>();
  readonly #reserve: (bytes: number, signal: AbortSignal) => Promise<(() => void) | undefined>;
  readonly #onVerified: OnVerified;
  fetchedBytes = 0;
  wrongChunks = 0;

  /**
   * @param gate bounds how many reads are under way
   * @param reserve makes room for what is to be fetched, if it is to be kept
   * @param onVerified is given each chunk that is right. It is a flight until {@link forget}, which the callee calls when it is kept elsewhere
   */
  constructor(
    upstream: ByteSource,
    gate: Gate,
    reserve: (bytes: number, signal: AbortSignal) => Promise<(() => void) | undefined>,
    onVerified: OnVerified,
  ) {
    this.#upstream = upstream;
    this.#gate = gate;
    this.#reserve = reserve;
    this.#onVerified = onVerified;
  }

  find(digest: Digest): Flight | undefined {
    return this.#flights.get(digest);
  }

  /** Fetches adjacent chunks of a blob by one read. The caller reads from the batch at once, which makes it its first user. */
  start(blob: Digest, chunks: readonly ChunkDigest[]): Batch {
    const batch = new Batch(blob, chunks, (unused) => this.#forgetAll(unused));
    for (const chunk of chunks) this.#flights.set(chunk.digest, { batch, chunk });
    batch.begin(
      (signal) => this.#fetch(batch, signal),
      () => {
        let left = 1;
        const done = (): void => {
          left -= 1;
          if (left === 0) batch.unreserve();
        };
        for (const chunk of chunks) {
          if (batch.failed(chunk)) {
            this.forget(chunk.digest, batch);
            continue;
          }
          left += 1;
          this.#onVerified(batch, chunk, done);
        }
        done();
      },
    );
    return batch;
  }

  forget(digest: Digest, batch: Batch): void {
    if (this.#flights.get(digest)?.batch === batch) this.#flights.delete(digest);
  }

  /** Aborts all that is under way. */
  abort(reason: unknown): void {
    for (const { batch } of this.#flights.values()) batch.abort(reason);
  }

  #forgetAll(batch: Batch): void {
    for (const { digest } of batch.chunks) this.forget(digest, batch);
  }

  async #fetch(batch: Batch, signal: AbortSignal): Promise<Lease> {
    try {
      const lease = await this.#read(batch, signal);
      this.fetchedBytes += batch.length;
      for (const chunk of batch.chunks) {
        const { parts } = subLease(lease, chunk.offset - batch.offset, chunk.length);
        if (sha256(...parts) === chunk.digest) continue;
        this.wrongChunks += 1;
        batch.fail(chunk, new WrongChunkError(this.#upstream.name, batch.blob, chunk));
      }
      return lease;
    } catch (error) {
      // Whoever asks from now on begins anew.
      this.#forgetAll(batch);
      throw error;
    }
  }

  async #read(batch: Batch, signal: AbortSignal): Promise<Lease> {
    batch.reserve(await this.#reserve(batch.length, signal));
    const leave = await this.#gate.enter(1, signal);
    try {
      return await this.#upstream.read(batch.blob, batch.offset, batch.length, { signal });
    } finally {
      leave();
    }
  }
}
