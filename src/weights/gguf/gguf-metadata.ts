import type { Extent } from '../../core/byte-range.js';
import { GgufCursor, MoreBytesNeeded } from './gguf-cursor.js';
import { invalidGguf } from './gguf-error.js';
import { PAIR_BYTES, readPair, type GgufPair } from './gguf-pair.js';

/** What the parts of a GGUF model carry of its metadata. */
export interface GgufMetadata {
  /** Every tensor begins at a multiple of so many bytes from where the data begins. */
  readonly alignment: number;
  /** The number of pairs that every part carries, and their bytes as they stand in a file. */
  readonly pairCount: number;
  readonly pairs: Uint8Array;
  /** The number of pairs that only the embeddings carry, and the extents of the model's file in which they are, ascending. */
  readonly furtherCount: number;
  readonly further: readonly Extent[];
}

/** Pairs that every part carries are small, so that parts without the tokenizer are hardly larger than their tensors. */
const MAX_PAIR_BYTES = 4096;
/** All of them together; real models have some 5 KB. */
export const MAX_PAIRS_BYTES = 1024 * 1024;
/** Real models have one or two. */
export const MAX_FURTHER_EXTENTS = 1024;
/** Far more than any model has. */
export const MAX_PAIRS = 65_536;

/** The key that says at multiples of how many bytes tensors begin, and what holds without it. */
export const ALIGNMENT_KEY = 'general.alignment';
export const DEFAULT_ALIGNMENT = 32;
/** No file has more than some hundreds. */
export const MAX_ALIGNMENT = 65_536;

/** True for what general.alignment may be: a power of two, a multiple of 8 by the specification; and not absurd. */
export function isAlignment(value: unknown): value is number {
  return (
    typeof value === 'number' &&
    Number.isInteger(value) &&
    value >= 8 &&
    value <= MAX_ALIGNMENT &&
    (value & (value - 1)) === 0
  );
}

/**
 * Tells what parts carry of the metadata: the tokenizer (`tokenizer.*`), which turns text into the ids that the embeddings take, and
 * what is larger than 4 KiB goes with the embeddings only, the rest with every part. How the model was split over files (`split.*`)
 * does not hold for parts.
 *
 * @throws CalyxError `invalid-model` if it is more than any model has
 */
export function shareMetadata(
  pairs: readonly GgufPair[],
  alignment: number,
  bytes: (pair: GgufPair) => Uint8Array,
  file: string,
): GgufMetadata {
  const kept = pairs.filter(({ key }) => !key.startsWith('split.'));
  const isFurther = ({ key, length }: GgufPair): boolean =>
    key.startsWith('tokenizer.') || length > MAX_PAIR_BYTES;
  const small = kept.filter((pair) => !isFurther(pair));
  const large = kept.filter(isFurther);
  const further: Extent[] = [];
  for (const { offset, length } of large) {
    const last = further.at(-1);
    if (last !== undefined && last.offset + last.length === offset)
      further[further.length - 1] = { offset: last.offset, length: last.length + length };
    else further.push({ offset, length });
  }
  const total = small.reduce((sum, { length }) => sum + length, 0);
  if (total > MAX_PAIRS_BYTES || further.length > MAX_FURTHER_EXTENTS)
    throw invalidGguf(file, `its metadata has ${total} bytes beside the tokenizer, more than any model has`);
  return {
    alignment,
    pairCount: small.length,
    pairs: Buffer.concat(small.map(bytes)),
    furtherCount: large.length,
    further,
  };
}

/**
 * Checks what came from outside.
 *
 * @param fileSize of the model's file that has the extents
 * @throws CalyxError `invalid-model`
 */
export function checkMetadata(metadata: GgufMetadata, fileSize: number, file: string): void {
  const { alignment, pairCount, pairs, furtherCount, further } = metadata;
  if (!isAlignment(alignment)) throw invalidGguf(file, 'its alignment is impossible');
  if (pairs.byteLength > MAX_PAIRS_BYTES || further.length > MAX_FURTHER_EXTENTS)
    throw invalidGguf(file, 'it has too much metadata');
  const cursor = new GgufCursor(pairs, pairs.byteLength, file);
  try {
    if (pairCount > pairs.byteLength / PAIR_BYTES) throw new MoreBytesNeeded();
    const found = new Map<string, GgufPair['value']>();
    for (let index = 0; index < pairCount; index += 1) {
      const { key, value } = readPair(cursor);
      found.set(key, value);
    }
    if (cursor.position !== pairs.byteLength || found.size !== pairCount) throw new MoreBytesNeeded();
    if ((found.get(ALIGNMENT_KEY) ?? DEFAULT_ALIGNMENT) !== alignment)
      throw invalidGguf(file, `its metadata contradicts the alignment ${alignment}`);
  } catch (error) {
    if (error instanceof MoreBytesNeeded)
      throw invalidGguf(file, `its metadata is not ${pairCount} different pairs`);
    throw error;
  }
  let end = 0;
  for (const { offset, length } of further) {
    if (offset < end || length === 0 || offset + length > fileSize)
      throw invalidGguf(file, 'the places of its metadata make no sense');
    end = offset + length;
  }
  const bytes = further.reduce((sum, { length }) => sum + length, 0);
  if (furtherCount < further.length || furtherCount > bytes / PAIR_BYTES)
    throw invalidGguf(file, `its metadata cannot be ${furtherCount} pairs`);
}
