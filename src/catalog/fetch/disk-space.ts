import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CalyxError, fileError, systemCode } from '../../core/errors.js';
import { formatSize } from '../../core/units.js';

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
