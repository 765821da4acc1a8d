import type { Digest } from '../core/digest.js';

/**
 * The port through which all weights flow: reads a range of a blob. A directory, a store, a peer and a bucket are sources;
 * verification, failover, coalescing, retries and metering are layers that take a source and are one.
 *
 * @example
 * const lease = await source.read(blob, 0, 4096, { signal });
 * try { use(lease.parts); } finally { lease.release(); }
 */
export interface ByteSource {
  /** Names the source in errors and metrics: a directory or a URL. */
  readonly name: string;
  /**
   * Reads exactly `length` bytes from `offset`; a source never answers with fewer, also where the blob ends before. May
   * answer at once, so that a hit costs no turn of the event loop.
   *
   * @throws CalyxError (or rejects with it): `not-found` if the source does not have the blob, `aborted` or the signal's
   * reason, and `unavailable`, `timeout`, `corrupt`, `refused`, `unreadable` naming this source
   */
  read(blob: Digest, offset: number, length: number, options?: ReadOptions): Lease | Promise<Lease>;
  /** Frees connections and descriptors. Reads under way may fail; later ones do, with `unavailable`. */
  close(): Promise<void>;
}

export interface ReadOptions {
  /** Ends the read early. */
  readonly signal?: AbortSignal;
}

/** Bytes on loan from a pool. They may be used until `release()`, which must be called once. */
export interface Lease {
  /** In order; their lengths add up to what was asked for. */
  readonly parts: readonly Uint8Array[];
  release(): void;
}

/** A lease of bytes that nobody needs back. */
export function staticLease(...parts: Uint8Array[]): Lease {
  return { parts, release: () => undefined };
}

/** The part of `lease` that begins at `offset`; releasing it releases the whole. */
export function subLease(lease: Lease, offset: number, length: number): Lease {
  const parts: Uint8Array[] = [];
  let position = 0;
  for (const part of lease.parts) {
    const from = Math.max(offset - position, 0);
    const to = Math.min(offset + length - position, part.byteLength);
    if (from < to) parts.push(part.subarray(from, to));
    position += part.byteLength;
  }
  return { parts, release: () => lease.release() };
}
