import { CalyxError } from './errors.js';

/** A byte range of a file: `length` bytes from `offset`. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

/** True if `value` is a non-negative integer that a double holds exactly. */
export function isByteCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/**
 * Checks a range that was asked for.
 *
 * @throws CalyxError `usage` unless offset, length and end are byte counts: a system call takes a negative offset for
 * something else
 */
export function checkRange(offset: number, length: number): void {
  if (isByteCount(offset) && isByteCount(length) && isByteCount(offset + length)) return;
  throw new CalyxError('usage', `${length} bytes at ${offset} is not a range of bytes`);
}
