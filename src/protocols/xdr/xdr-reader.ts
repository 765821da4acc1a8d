import { XdrError } from './xdr-error.js';

/** Reads XDR (RFC 4506) from bytes, checking each length before it is used. What it gives out are views, not copies. */
export class XdrReader {
  readonly #bytes: Buffer;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Bytes that were not read yet. */
  get remaining(): number {
    return this.#bytes.byteLength - this.#position;
  }

  /** Bytes read so far. */
  get position(): number {
    return this.#position;
  }

  uint32(): number {
    return this.#bytes.readUInt32BE(this.#advance(4));
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#advance(4));
  }

  uint64(): bigint {
    return this.#bytes.readBigUInt64BE(this.#advance(8));
  }

  int64(): bigint {
    return this.#bytes.readBigInt64BE(this.#advance(8));
  }

  /** A whole number from an unsigned hyper; values above 2^53 - 1 become that, which no offset or size of ours reaches. */
  position64(): number {
    const at = this.#advance(8);
    const value = this.#bytes.readUInt32BE(at) * 2 ** 32 + this.#bytes.readUInt32BE(at + 4);
    return Math.min(value, Number.MAX_SAFE_INTEGER);
  }

  /** `length` bytes and their padding, which must be zero (RFC 4506, section 3). */
  fixedOpaque(length: number): Uint8Array {
    const padding = -length & 3;
    const at = this.#advance(length + padding);
    for (let index = at + length; index < at + length + padding; index += 1)
      if (this.#bytes[index] !== 0) throw new XdrError('padding is not zero');
    return this.#bytes.subarray(at, at + length);
  }

  /** Bytes with their length before them, at most `max`. */
  opaque(max: number): Uint8Array {
    const length = this.uint32();
    if (length > max) throw new XdrError(`${length} bytes where at most ${max} may stand`);
    return this.fixedOpaque(length);
  }

  /** Throws XdrError if anything is left. */
  end(): void {
    if (this.remaining > 0) throw new XdrError(`${this.remaining} bytes follow the last item`);
  }

  #advance(length: number): number {
    const at = this.#position;
    if (length > this.remaining)
      throw new XdrError(`cut off: ${length} bytes wanted, ${this.remaining} left`);
    this.#position = at + length;
    return at;
  }
}
