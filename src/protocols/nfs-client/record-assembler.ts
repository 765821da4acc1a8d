import { XdrError } from '../xdr/xdr-error.js';

/** Bytes of a record at most: a READ of 1 MiB and what stands around it. */
const MAX_RECORD = 1_048_576 + 16_384;
const LAST_FRAGMENT = 0x8000_0000;
const MARK_BYTES = 4;
/** A record in more pieces is no record that a server sends. */
const MAX_FRAGMENTS = 64;

/** Puts records together from the fragments of a stream (RFC 5531, section 11). */
export class RecordAssembler {
  readonly #onRecord: (record: Uint8Array) => void;
  readonly #mark = Buffer.alloc(MARK_BYTES);
  #markFilled = 0;
  #fragments: Buffer[] = [];
  #bytes = 0;
  #current: Buffer | undefined;
  #filled = 0;
  #last = false;

  constructor(onRecord: (record: Uint8Array) => void) {
    this.#onRecord = onRecord;
  }

  /** Takes the next bytes; throws XdrError for a record that is too long. */
  add(chunk: Buffer): void {
    let position = 0;
    while (position < chunk.byteLength) {
      if (this.#current === undefined) {
        const taken = chunk.copy(this.#mark, this.#markFilled, position);
        position += taken;
        this.#markFilled += taken;
        if (this.#markFilled < MARK_BYTES) return;
        this.#begin(this.#mark.readUInt32BE());
      }
      const current = this.#current;
      if (current === undefined) continue;
      const taken = chunk.copy(current, this.#filled, position);
      position += taken;
      this.#filled += taken;
      if (this.#filled === current.byteLength) this.#end(current);
    }
  }

  #begin(mark: number): void {
    const length = mark % LAST_FRAGMENT;
    this.#markFilled = 0;
    this.#last = mark >= LAST_FRAGMENT;
    this.#bytes += length;
    if (this.#bytes > MAX_RECORD || this.#fragments.length >= MAX_FRAGMENTS)
      throw new XdrError(`a record of more than ${MAX_RECORD} bytes or ${MAX_FRAGMENTS} fragments`);
    this.#filled = 0;
    const fragment = Buffer.allocUnsafe(length);
    if (length === 0) this.#end(fragment);
    else this.#current = fragment;
  }

  #end(fragment: Buffer): void {
    this.#current = undefined;
    this.#fragments.push(fragment);
    if (!this.#last) return;
    const record = this.#fragments.length === 1 ? fragment : Buffer.concat(this.#fragments);
    this.#fragments = [];
    this.#bytes = 0;
    this.#onRecord(record);
  }
}
