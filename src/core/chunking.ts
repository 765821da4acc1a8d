import { CalyxError } from './errors.js';
import type { Extent } from './byte-range.js';

/** The longest chunk: 4 MiB. */
export const CHUNK_BYTES = 4 * 1024 * 1024;

/**
 * Where the chunks of one file lie. They cover it without gaps. Kept as one array of offsets (8 bytes a chunk), because a
 * model may have hundreds of thousands of chunks.
 */
export class ChunkLayout {
  readonly size: number;
  /** Start of each chunk, ascending, and the file's size at the end. */
  readonly #offsets: Float64Array;

  private constructor(size: number, offsets: Float64Array) {
    this.size = size;
    this.#offsets = offsets;
  }

  /**
   * Cuts a file of `size` bytes. Each of `tensors` (ascending, not overlapping; empty ones are passed over) starts a chunk
   * and is cut each 4 MiB from its own start; what lies between them (headers, gaps) is cut each 4 MiB from its own start.
   *
   * @throws CalyxError `invalid-model` if the extents overlap or leave the file
   */
  static of(size: number, tensors: readonly Extent[] = []): ChunkLayout {
    const offsets: number[] = [];
    let position = 0;
    const cutUpTo = (end: number): void => {
      for (; position < end; position += CHUNK_BYTES) offsets.push(position);
      position = end;
    };
    for (const { offset, length } of tensors) {
      if (length === 0) continue;
      if (offset < position || offset + length > size) {
        throw new CalyxError(
          'invalid-model',
          `the extent ${offset}+${length} overlaps another or leaves its file`,
        );
      }
      cutUpTo(offset);
      cutUpTo(offset + length);
    }
    cutUpTo(size);
    offsets.push(size);
    return new ChunkLayout(size, Float64Array.from(offsets));
  }

  /** How many chunks there are. */
  get count(): number {
    return this.#offsets.length - 1;
  }

  /** The extent of chunk `index`. */
  extent(index: number): Extent {
    const offset = this.#at(index);
    return { offset, length: this.#at(index + 1) - offset };
  }

  /** The chunk that holds the byte at `position` (0 <= position < size). */
  indexAt(position: number): number {
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#at(middle) <= position) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #at(index: number): number {
    const value = this.#offsets[index];
    if (value === undefined) throw new RangeError(`no chunk ${index} of ${this.count}`);
    return value;
  }
}
