import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CalyxError, fileError, systemCode } from '../../core/errors.js';
import { formatSize } from '../../core/units.js';
import { RECORD_BYTES_PER_FILE } from './slice-directory.js';
import type { FilePlan } from './slice-plan.js';

/**
 * Looks whether a directory, which need not exist yet, has room for so many more bytes.
 *
 * @throws CalyxError `disk-full`
 */
export async function checkSpace(directory: string, neededBytes: number): Promise<void> {
  for (let path = directory; ; path = dirname(path)) {
    try {
      const { bavail, bsize } = await statfs(path);
      if (neededBytes <= bavail * bsize) return;
      throw new CalyxError(
        'disk-full',
        `the slice needs ${formatSize(neededBytes)} more, but ${path} has only ${formatSize(bavail * bsize)} free`,
        {
          hint: 'free some space, take fewer blocks, or choose another directory',
        },
      );
    } catch (error) {
      if (systemCode(error) !== 'ENOENT' || dirname(path) === path)
        throw fileError(error, 'cannot use', directory);
    }
  }
}

/**
 * Looks whether the files of a slice, with our own records of them, fit a budget.
 *
 * @param where names the slice in the error
 * @throws CalyxError `over-budget`
 */
export function checkBudget(files: readonly FilePlan[], budgetBytes = Infinity, where: string): void {
  const needed = files.reduce(
    (sum, { file, chunks }) => sum + file.size + RECORD_BYTES_PER_FILE + 4 * chunks.length,
    0,
  );
  if (needed <= budgetBytes) return;
  throw new CalyxError(
    'over-budget',
    `${where} would take ${formatSize(needed)} (${needed} bytes), more than the budget of ${formatSize(budgetBytes)}`,
    {
      hint: 'take fewer blocks, drop some (--drop A:B), or raise --budget',
    },
  );
}
