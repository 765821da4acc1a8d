import {
  ENTRY_BYTES,
  SEGMENT_HEAD_BYTES,
  generationSeed,
  type Queue,
  type SegmentHead,
} from './pack-format.js';
import { NONE, type Chain } from './chunk-table.js';

/** What is known of one segment of a pack file. */
export class Segment implements Chain {
  readonly index: number;
  readonly #bytes: number;
  queue: Queue = 'small';
  generation = 0;
  /** What the CRC-32 of its entries begins with. */
  seed = 0;
  /** Up to here it holds bytes of chunks. */
  end = 0;
  entries = 0;
  first = NONE;
  last = NONE;
  /** Reads under way. It is not used for anything else before they have ended. */
  readers = 0;
  /** Its chunks are gone, but somebody still reads. */
  draining = false;

  constructor(index: number, bytes: number) {
    this.index = index;
    this.#bytes = bytes;
  }

  /** Begins a new use. */
  begin({ queue, generation }: SegmentHead): void {
    this.queue = queue;
    this.generation = generation;
    this.seed = generationSeed(generation);
    this.end = 0;
    this.entries = 0;
  }

  get headOffset(): number {
    return this.#bytes - SEGMENT_HEAD_BYTES;
  }

  /** Where entry `index` stands. */
  entryOffset(index: number): number {
    return this.headOffset - (index + 1) * ENTRY_BYTES;
  }

  /** True if there is room for `count` more chunks of `bytes` bytes in all. */
  fits(bytes: number, count = 1): boolean {
    return this.end + bytes <= this.entryOffset(this.entries + count - 1);
  }
}

/** The longest chunk that a segment of so many bytes can hold. */
export function longestChunk(segmentBytes: number): number {
  return segmentBytes - SEGMENT_HEAD_BYTES - ENTRY_BYTES;
}
