import type { Digest } from '../../core/digest.js';
import type { ByteSource, Lease, ReadOptions } from '../byte-source.js';

/** Sends each read to the one of two sources that has the blob. */
export class RouteLayer implements ByteSource {
  readonly name: string;
  readonly #first: ByteSource;
  readonly #isOfFirst: (blob: Digest) => boolean;
  readonly #other: ByteSource;

  /** @param isOfFirst true for blobs of the first source; `other` is asked for the rest */
  constructor(first: ByteSource, isOfFirst: (blob: Digest) => boolean, other: ByteSource) {
    this.name = `${first.name}, ${other.name}`;
    this.#first = first;
    this.#isOfFirst = isOfFirst;
    this.#other = other;
  }

  read(blob: Digest, offset: number, length: number, options?: ReadOptions): Lease | Promise<Lease> {
    return (this.#isOfFirst(blob) ? this.#first : this.#other).read(blob, offset, length, options);
  }

  async close(): Promise<void> {
    await Promise.all([this.#first.close(), this.#other.close()]);
  }
}
