/** Bytes on loan that are written as they are; see `Lease` of the byte-reading port. */
export interface Payload {
  readonly parts: readonly Uint8Array[];
  release(): void;
}

/** What a writer wrote: buffers to be sent in order, then released. */
export interface Written {
  readonly buffers: readonly Uint8Array[];
  readonly byteLength: number;
  /** Gives back every payload; to be called once, when nothing is read from `buffers` any more. */
  release(): void;
}

const FIRST_BYTES = 512;
const ZEROS = new Uint8Array(4);

/** Writes XDR (RFC 4506). Payloads are not copied: they become buffers of their own between those that were written. */
export class XdrWriter {
  #buffer = Buffer.allocUnsafe(FIRST_BYTES);
  /** Where the bytes begin that stand in no finished buffer. */
  #start = 0;
  #end = 0;
  readonly #finished: Uint8Array[] = [];
  #finishedBytes = 0;
  readonly #payloads: Payload[] = [];
  /** What `byteLength` was after the last payload. */
  #payloadEnd = 0;

  /** Bytes written so far, payloads among them. */
  get byteLength(): number {
    return this.#finishedBytes + this.#end - this.#start;
  }

  /** The lowest 32 bits of a whole number, so that a set of bits may also be a negative one. */
  uint32(value: number): void {
    const at = this.#reserve(4);
    this.#buffer.writeUInt32BE(value >>> 0, at);
  }

  int32(value: number): void {
    const at = this.#reserve(4);
    this.#buffer.writeInt32BE(value, at);
  }

  uint64(value: bigint): void {
    const at = this.#reserve(8);
    this.#buffer.writeBigUInt64BE(value, at);
  }

  int64(value: bigint): void {
    const at = this.#reserve(8);
    this.#buffer.writeBigInt64BE(value, at);
  }

  /** A whole number of at most 2^53 - 1 as an unsigned hyper. */
  position64(value: number): void {
    const at = this.#reserve(8);
    this.#buffer.writeUInt32BE(Math.floor(value / 2 ** 32), at);
    this.#buffer.writeUInt32BE(value % 2 ** 32, at + 4);
  }

  /** Bytes and their padding, without a length. */
  fixedOpaque(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.byteLength);
    this.#buffer.set(bytes, at);
    this.#pad(bytes.byteLength);
  }

  /** Bytes with their length before them and their padding after them. */
  opaque(bytes: Uint8Array): void {
    this.uint32(bytes.byteLength);
    this.fixedOpaque(bytes);
  }

  /** The bytes of a payload like {@link opaque}, but passed on rather than copied. The writer releases it. */
  payload(payload: Payload): void {
    const length = payload.parts.reduce((sum, part) => sum + part.byteLength, 0);
    this.uint32(length);
    this.#payloads.push(payload);
    this.#finish();
    for (const part of payload.parts) if (part.byteLength > 0) this.#finished.push(part);
    this.#finishedBytes += length;
    this.#pad(length);
    this.#payloadEnd = this.byteLength;
  }

  /** Bytes that were encoded before, of a whole number of words. */
  raw(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.byteLength);
    this.#buffer.set(bytes, at);
  }

  /** A word whose value is known later; what it returns sets it. */
  laterUint32(): (value: number) => void {
    const at = this.#reserve(4);
    const buffer = this.#buffer;
    return (value) => void buffer.writeUInt32BE(value >>> 0, at);
  }

  /**
   * Forgets what was written since `byteLength` was `mark`.
   *
   * @throws RangeError if a payload was written since
   */
  rewind(mark: number): void {
    if (mark > this.byteLength || mark < this.#payloadEnd)
      throw new RangeError('a writer cannot go back to before a payload');
    if (mark < this.#finishedBytes) {
      this.#end = this.#start;
      let last: Uint8Array | undefined;
      while (this.#finishedBytes > mark) {
        last = this.#finished.pop();
        this.#finishedBytes -= last?.byteLength ?? 0;
      }
      const kept = mark - this.#finishedBytes;
      if (last !== undefined && kept > 0) this.#finished.push(last.subarray(0, kept));
      this.#finishedBytes = mark;
    } else this.#end = this.#start + mark - this.#finishedBytes;
  }

  /** A copy of what was written since `byteLength` was `mark`, payloads among it. */
  copyFrom(mark: number): Uint8Array {
    const all = [...this.#finished, this.#buffer.subarray(this.#start, this.#end)];
    // Into memory of its own: what is kept must not keep a shared pool alive.
    return new Uint8Array(Buffer.concat(all).subarray(mark));
  }

  /** Copies the payloads written so far and releases them, for a writer that will wait before it is finished. */
  keepPayloads(): void {
    if (this.#payloads.length === 0) return;
    const lent = new Set(this.#payloads.flatMap(({ parts }) => parts));
    // The others stay where they are: words that are set later stand in them.
    for (const [index, buffer] of this.#finished.entries())
      if (lent.has(buffer)) this.#finished[index] = Buffer.from(buffer);
    for (const payload of this.#payloads.splice(0)) payload.release();
  }

  /** Everything that was written; the writer must not be used afterwards. */
  finish(): Written {
    this.#finish();
    const payloads = this.#payloads;
    return {
      buffers: this.#finished,
      byteLength: this.#finishedBytes,
      release: () => {
        for (const payload of payloads.splice(0)) payload.release();
      },
    };
  }

  #pad(length: number): void {
    const padding = -length & 3;
    if (padding === 0) return;
    const at = this.#reserve(padding);
    this.#buffer.set(ZEROS.subarray(0, padding), at);
  }

  #finish(): void {
    if (this.#end === this.#start) return;
    this.#finished.push(this.#buffer.subarray(this.#start, this.#end));
    this.#finishedBytes += this.#end - this.#start;
    this.#start = this.#end;
  }

  /** Room for `length` bytes in one buffer. Nothing moves when a buffer is full: the next one begins. */
  #reserve(length: number): number {
    if (this.#end + length > this.#buffer.byteLength) {
      this.#finish();
      this.#buffer = Buffer.allocUnsafe(Math.max(2 * this.#buffer.byteLength, length));
      this.#start = 0;
      this.#end = 0;
    }
    const at = this.#end;
    this.#end += length;
    return at;
  }
}
