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

/** Fetches chunks from upstream, each once however many wait for it, and verifies them. */
export class Fetcher {
  readonly #upstream: ByteSource;
  readonly #gate: Gate;
  readonly #flights = new Map<Digest, Flight>();
  readonly #onVerified: (batch: Batch, chunk: ChunkDigest) => void;
  fetchedBytes = 0;
  wrongChunks = 0;

  /**
   * @param gate bounds how many reads are under way
   * @param onVerified is given each chunk that is right. It is a flight until {@link forget}, which the callee calls when it is kept elsewhere
   */
  constructor(upstream: ByteSource, gate: Gate, onVerified: (batch: Batch, chunk: ChunkDigest) => void) {
    this.#upstream = upstream;
    this.#gate = gate;
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
        for (const chunk of chunks) {
          if (batch.failed(chunk)) this.forget(chunk.digest, batch);
          else this.#onVerified(batch, chunk);
        }
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
    const leave = await this.#gate.enter(1, signal);
    try {
      return await this.#upstream.read(batch.blob, batch.offset, batch.length, { signal });
    } finally {
      leave();
    }
  }
}
