import type { Digest } from '../../core/digest.js';
import { abortable } from '../abortable.js';
import type { ByteSource, Lease, ReadOptions } from '../byte-source.js';

/** One read that several callers wait for or use. */
interface Flight {
  readonly lease: Promise<Lease>;
  readonly controller: AbortController;
  /** Callers that wait for it or hold its bytes. */
  users: number;
  settled: boolean;
}

/**
 * Single flight: readers that ask for the same range while it is being read share one read and its bytes. A reader that gives
 * up leaves the others alone; when all have, the read is aborted.
 */
export class CoalesceLayer implements ByteSource {
  readonly name: string;
  readonly #inner: ByteSource;
  readonly #flights = new Map<string, Flight>();

  constructor(inner: ByteSource) {
    this.name = inner.name;
    this.#inner = inner;
  }

  async read(blob: Digest, offset: number, length: number, { signal }: ReadOptions = {}): Promise<Lease> {
    signal?.throwIfAborted();
    const key = `${blob}:${offset}:${length}`;
    const flight = this.#flights.get(key) ?? this.#start(key, blob, offset, length);
    flight.users += 1;
    try {
      const { parts } = await abortable(flight.lease, signal);
      let held = true;
      return {
        parts,
        release: () => {
          if (held) this.#leave(key, flight);
          held = false;
        },
      };
    } catch (error) {
      this.#leave(key, flight);
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  #start(key: string, blob: Digest, offset: number, length: number): Flight {
    const controller = new AbortController();
    const { signal } = controller;
    const lease = (async () => this.#inner.read(blob, offset, length, { signal }))();
    const flight: Flight = { lease, controller, users: 0, settled: false };
    this.#flights.set(key, flight);
    // Whoever asks after the answer has come starts a new read.
    const forget = (): void => {
      flight.settled = true;
      this.#forget(key, flight);
    };
    lease.then(forget, forget);
    return flight;
  }

  #leave(key: string, flight: Flight): void {
    flight.users -= 1;
    if (flight.users > 0) return;
    this.#forget(key, flight);
    // Aborting makes an exception with a stack, which is too dear for each read that went well.
    if (!flight.settled) flight.controller.abort();
    flight.lease.then(
      (lease) => lease.release(),
      () => undefined,
    );
  }

  #forget(key: string, flight: Flight): void {
    if (this.#flights.get(key) === flight) this.#flights.delete(key);
  }
}
