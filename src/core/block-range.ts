import { CalyxError } from './errors.js';

/** A half-open range of transformer blocks: `start` is in it, `end` is not. Written `4:8`. */
export interface BlockRange {
  readonly start: number;
  readonly end: number;
}

/** More blocks than any model has; keeps nonsense like `0:99999999999` out early. */
const MAX_BLOCKS = 100_000;

/**
 * Reads `4:8`.
 *
 * @param text what the user wrote
 * @param blockCount the number of blocks of the model, if it is known
 * @throws CalyxError `usage` if it is no range, is empty or reaches past the model
 */
export function parseBlockRange(text: string, blockCount?: number): BlockRange {
  const match = /^(\d{1,6}):(\d{1,6})$/.exec(text);
  if (match === null) {
    throw new CalyxError('usage', `'${text}' is not a block range`, {
      hint: 'write it as FIRST:END with END not included, for example 4:8 for the blocks 4, 5, 6 and 7',
    });
  }
  return checkBlockRange({ start: Number(match[1]), end: Number(match[2]) }, blockCount);
}

/** Checks a range against the model's number of blocks; throws as {@link parseBlockRange} does. */
export function checkBlockRange(range: BlockRange, blockCount = MAX_BLOCKS): BlockRange {
  if (range.start >= range.end) {
    throw new CalyxError('usage', `the block range ${formatBlockRange(range)} is empty`, {
      hint: 'END is not included, so 4:5 is block 4 alone',
    });
  }
  if (range.end > blockCount) {
    throw new CalyxError('usage', `the block range ${formatBlockRange(range)} reaches past the last block`, {
      hint: `the model has ${blockCount} blocks: ${formatBlockRange({ start: 0, end: blockCount })}`,
    });
  }
  return range;
}

/** Writes a range as `4:8`. */
export function formatBlockRange(range: BlockRange): string {
  return `${range.start}:${range.end}`;
}

/** The ranges of `0:blockCount` that none of `served` covers, in order. */
export function missingBlocks(served: readonly BlockRange[], blockCount: number): BlockRange[] {
  const missing: BlockRange[] = [];
  let next = 0;
  for (const range of [...served].sort((a, b) => a.start - b.start)) {
    if (range.start > next) missing.push({ start: next, end: Math.min(range.start, blockCount) });
    next = Math.max(next, range.end);
    if (next >= blockCount) return missing;
  }
  if (next < blockCount) missing.push({ start: next, end: blockCount });
  return missing;
}
