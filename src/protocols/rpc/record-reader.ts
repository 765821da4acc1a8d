import { CalyxError } from '../../core/errors.js';
import { LAST_FRAGMENT, MARK_BYTES } from './rpc-protocol.js';

/** Memory in which records stand, and how many calls still need it. */
export interface Arrival {
  /** Bytes of the whole buffer, however little of it a record takes. */
  readonly bytes: number;
  calls: number;
}

/** Fragments without content say nothing; some libraries end a record with one. */
const MAX_EMPTY_FRAGMENTS = 16;
/** What the first buffer of a record that comes in pieces takes at most before its bytes are there. */
const FIRST_PIECE_BYTES = 4096;
const EMPTY = Buffer.alloc(0);

/**
 * Cuts a stream into records (RFC 5531, section 11). A record that stands in one chunk, in one fragment, is given out as a view;
 * others are collected in a buffer that grows with the bytes that came, never with those that were announced.
 *
 * @example
 * reader.push(chunk);
 * for (let record = reader.next(); record !== undefined; record = reader.next()) answer(record, reader.arrival);
 */
export class RecordReader {
  readonly #maxBytes: number;
  #chunk: Buffer = EMPTY;
  #at = 0;
  #chunkArrival: Arrival = { bytes: 0, calls: 0 };
  #mark = 0;
  #markBytes = 0;
  /** Bytes of the fragment that did not come yet; undefined between fragments. */
  #left: number | undefined;
  #last = false;
  #emptyFragments = 0;
  #collected: Buffer = EMPTY;
  #collectedBytes = 0;
  /** The memory of the record that `next` returned last. */
  arrival = this.#chunkArrival;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** True if a record has begun and is not complete. */
  get midRecord(): boolean {
    return (
      this.#markBytes > 0 || this.#left !== undefined || this.#collectedBytes > 0 || this.#emptyFragments > 0
    );
  }

  /** True if everything that came was taken out, to the last byte. */
  get drained(): boolean {
    return this.#at >= this.#chunk.byteLength && !this.midRecord;
  }

  /** Bytes that the record which is being collected takes. */
  get collecting(): number {
    return this.#collected.byteLength;
  }

  /** Takes in what came next; everything before must have been taken out with `next`. */
  push(chunk: Buffer): void {
    this.#chunk = chunk;
    this.#at = 0;
    this.#chunkArrival = { bytes: chunk.byteLength, calls: 0 };
  }

  /**
   * The next complete record, or undefined if it needs another chunk.
   *
   * @throws CalyxError `corrupt` if a record is too long or made of nothing; the stream cannot be read on
   */
  next(): Uint8Array | undefined {
    while (this.#at < this.#chunk.byteLength) {
      if (this.#left === undefined && !this.#readMark()) break;
      const left = this.#left ?? 0;
      const available = this.#chunk.byteLength - this.#at;
      if (this.#last && this.#collectedBytes === 0 && left <= available) {
        const record = this.#chunk.subarray(this.#at, this.#at + left);
        this.#at += left;
        this.arrival = this.#chunkArrival;
        this.#begin();
        return record;
      }
      this.#collect(Math.min(left, available));
      if (this.#left !== 0) break;
      if (this.#last) {
        const record = this.#collected.subarray(0, this.#collectedBytes);
        this.arrival = { bytes: this.#collected.byteLength, calls: 0 };
        this.#begin();
        return record;
      }
      this.#left = undefined;
    }
    // An idle connection keeps nothing.
    this.#chunk = EMPTY;
    this.#at = 0;
    return undefined;
  }

  #begin(): void {
    this.#left = undefined;
    this.#emptyFragments = 0;
    if (this.#collectedBytes > 0) {
      this.#collected = EMPTY;
      this.#collectedBytes = 0;
    }
  }

  #readMark(): boolean {
    const chunk = this.#chunk;
    if (this.#markBytes === 0 && chunk.byteLength - this.#at >= MARK_BYTES) {
      this.#mark = chunk.readUInt32BE(this.#at);
      this.#at += MARK_BYTES;
    } else {
      while (this.#markBytes < MARK_BYTES) {
        const byte = chunk[this.#at];
        if (byte === undefined) return false;
        this.#mark = (this.#markBytes === 0 ? 0 : this.#mark * 256) + byte;
        this.#markBytes += 1;
        this.#at += 1;
      }
      this.#markBytes = 0;
    }
    this.#last = this.#mark >= LAST_FRAGMENT;
    const length = this.#last ? this.#mark - LAST_FRAGMENT : this.#mark;
    if (length > this.#maxBytes - this.#collectedBytes)
      throw new CalyxError('corrupt', `a record of more than ${this.#maxBytes} bytes`);
    if (length === 0 && (this.#emptyFragments += 1) > MAX_EMPTY_FRAGMENTS)
      throw new CalyxError('corrupt', `a record of more than ${MAX_EMPTY_FRAGMENTS} empty fragments`);
    this.#left = length;
    return true;
  }

  #collect(length: number): void {
    const left = this.#left ?? 0;
    const needed = this.#collectedBytes + length;
    if (needed > this.#collected.byteLength) {
      const whole = this.#collectedBytes + left;
      const grown = Buffer.allocUnsafeSlow(Math.min(whole, Math.max(2 * needed, FIRST_PIECE_BYTES)));
      grown.set(this.#collected.subarray(0, this.#collectedBytes));
      this.#collected = grown;
    }
    this.#collected.set(this.#chunk.subarray(this.#at, this.#at + length), this.#collectedBytes);
    this.#collectedBytes = needed;
    this.#at += length;
    this.#left = left - length;
  }
}
