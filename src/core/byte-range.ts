/** A byte range of a file: `length` bytes from `offset`. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

/** The first byte after an extent. */
export function extentEnd(extent: Extent): number {
  return extent.offset + extent.length;
}

/** True if `value` is a non-negative integer that a double holds exactly. */
export function isByteCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
