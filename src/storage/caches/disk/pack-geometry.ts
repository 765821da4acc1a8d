import { CHUNK_BYTES } from '../../../core/chunking.js';
import { CalyxError } from '../../../core/errors.js';
import { formatSize } from '../../../core/units.js';
import { SEGMENT_HEAD_BYTES } from './pack-format.js';

/** The pack file begins with a page that says how it is cut. */
export const PACK_HEAD_BYTES = 4096;

/** How a pack file is cut into segments of one size. */
export interface PackGeometry {
  readonly segmentBytes: number;
  readonly segments: number;
}

/** A segment has room for so many of the longest chunks, and the entries of 1,488 chunks for each of them. */
const UNIT_BYTES = CHUNK_BYTES + 64 * 1024;
/** The more segments, the finer is what must go at once; a segment's entries are read at each start. */
const WANTED_SEGMENTS = 64;
/** Below 4 GiB, because positions in a segment are 32-bit numbers, and so that an eviction is not an event. */
const MAX_UNITS = 240;
/** One that is filled for each of the two queues, a spare one to carry over into, and one that may go. */
const MIN_SEGMENTS = 4;

/** The directory, its socket, and the first extents of the file. */
const FIXED_SLACK_BYTES = 64 * 1024;
/** An extent takes 12 bytes on ext4 and 16 on XFS, and at worst describes one block of 4 KiB. */
const EXTENT_SHARE = 256;

/** The smallest budget that a cache with default segments can keep to. */
export const MIN_BUDGET_BYTES = 18 * 1024 * 1024;

/**
 * How large a pack file may be, so that with all that the file system keeps for it the disk use stays within `budgetBytes`.
 *
 * @param segmentBytes of a file that is there, or as a test wants it
 * @throws CalyxError `usage` if the budget is too small for that
 */
export function packGeometry(budgetBytes: number, segmentBytes?: number): PackGeometry {
  const room =
    budgetBytes - PACK_HEAD_BYTES - FIXED_SLACK_BYTES - Math.ceil(Math.max(budgetBytes, 0) / EXTENT_SHARE);
  const units = Math.min(Math.max(Math.floor(room / WANTED_SEGMENTS / UNIT_BYTES), 1), MAX_UNITS);
  const size = segmentBytes ?? units * UNIT_BYTES;
  const segments = Math.floor(room / size);
  if (segments >= MIN_SEGMENTS && size > SEGMENT_HEAD_BYTES) return { segmentBytes: size, segments };
  throw new CalyxError(
    'usage',
    `a disk cache of ${formatSize(budgetBytes)} is too small; it needs at least ${formatSize(MIN_BUDGET_BYTES)}`,
    { hint: 'give it more room, or none at all' },
  );
}

/** Bytes of a pack file of this shape. */
export function packBytes({ segmentBytes, segments }: PackGeometry): number {
  return PACK_HEAD_BYTES + segmentBytes * segments;
}
