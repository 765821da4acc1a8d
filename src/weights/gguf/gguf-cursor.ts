import { CalyxError } from '../../core/errors.js';
import { invalidGguf } from './gguf-error.js';

/** Thrown when the bytes at hand end within the header although the file goes on. */
export class MoreBytesNeeded extends Error {}

/**
 * Reads little-endian values from the beginning of a file, of which `bytes` are at hand. Whatever would leave the file is refused
 * before anything is made of it.
 */
export class GgufCursor {
  readonly fileSize: number;
  readonly file: string;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #position = 0;

  /** @param file names the file in errors */
  constructor(bytes: Uint8Array, fileSize: number, file: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.fileSize = fileSize;
    this.file = file;
  }

  get position(): number {
    return this.#position;
  }

  u8(what: string): number {
    return this.#view.getUint8(this.skip(1, what));
  }

  u32(what: string): number {
    return this.#view.getUint32(this.skip(4, what), true);
  }

  u64(what: string): bigint {
    return this.#view.getBigUint64(this.skip(8, what), true);
  }

  /** A u64 that counts things of at least `bytesEach` bytes, all of which are still to come. */
  count(bytesEach: number, what: string): number {
    const count = this.u64(what);
    const left = this.fileSize - this.#position;
    if (count > BigInt(Math.floor(left / bytesEach))) {
      throw invalidGguf(
        this.file,
        `${what} is said to be ${count}, more than its ${this.fileSize} bytes can hold; it was cut off or is damaged`,
      );
    }
    return Number(count);
  }

  /** A string: its length, then UTF-8. */
  text(maxBytes: number, what: string): string {
    const length = this.count(1, `the length of ${what}`);
    if (length > maxBytes)
      throw invalidGguf(this.file, `${what} has ${length} bytes, more than the ${maxBytes} that are allowed`);
    const start = this.skip(length, what);
    try {
      return UTF8.decode(this.#bytes.subarray(start, start + length));
    } catch (error) {
      throw new CalyxError('invalid-model', `${this.file}: ${what} is not UTF-8`, {
        hint: 'download or export this file again',
        cause: error,
      });
    }
  }

  /** Passes over a string. */
  skipText(what: string): void {
    this.skip(this.count(1, `the length of ${what}`), what);
  }

  /** Passes over bytes, and returns where they begin. */
  skip(length: number, what: string): number {
    const start = this.#position;
    if (length > this.fileSize - start)
      throw invalidGguf(
        this.file,
        `it ends within ${what}: the file has only ${this.fileSize} bytes; it was cut off`,
      );
    if (start + length > this.#bytes.byteLength) throw new MoreBytesNeeded();
    this.#position = start + length;
    return start;
  }

  /** The bytes of an extent that was passed. */
  slice(offset: number, length: number): Uint8Array {
    return this.#bytes.subarray(offset, offset + length);
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
