import { CalyxError } from '../../core/errors.js';
import { formatSize } from '../../core/units.js';
import { segmentLength } from '../file-tree.js';
import type { FilePlan } from './slice-plan.js';

/** Bytes that our own record of a file takes at most, old and new while it is replaced. */
const RECORD_BYTES = 512;

/** The directory itself and our own ones in it; most file systems show 4 KiB for each. */
const DIRECTORY_BYTES = 4 * 4096;

/** A chunk that came in takes so many bytes in a journal until its file is whole. */
const JOURNAL_BYTES = 4;

/**
 * The most that the directory takes at any moment while it becomes a slice of these files: the smallest budget that lets it.
 *
 * @param formerBytes of the largest file of another revision that is there until its successor has taken over what is equal
 */
export function budgetNeeded(files: readonly FilePlan[], formerBytes = 0): number {
  let bytes = DIRECTORY_BYTES + formerBytes;
  for (const { file, chunks } of files) {
    bytes += file.size + RECORD_BYTES + JOURNAL_BYTES * chunks.length;
    // A literal file is written beside the old one and then takes its place.
    for (const segment of file.segments) if ('literal' in segment) bytes += segmentLength(segment);
  }
  return bytes;
}

/** Throws CalyxError `over-budget` if the slice could take more than `budgetBytes` at any moment. */
export function checkBudget(
  files: readonly FilePlan[],
  formerBytes: number,
  directory: string,
  budgetBytes: number,
): void {
  const needed = budgetNeeded(files, formerBytes);
  if (needed <= budgetBytes) return;
  throw new CalyxError(
    'over-budget',
    `${directory} would take ${formatSize(needed)} (${needed} bytes), more than the budget of ${formatSize(budgetBytes)}`,
    { hint: 'take fewer blocks, drop some (--drop A:B), or raise --budget' },
  );
}
