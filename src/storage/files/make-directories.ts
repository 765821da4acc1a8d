import { mkdir, open, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { CalyxError, fileError, systemCode } from '../../core/errors.js';

/**
 * Makes a directory and those above it that are missing, one by one, and syncs the parent of each, so that a power cut does not
 * take them. Node's own recursive mkdir never ends where a file system answers ENOENT although the parent exists, as /proc does.
 *
 * @throws CalyxError naming the directory that cannot be made
 */
export async function makeDirectories(path: string): Promise<void> {
  const missing: string[] = [];
  for (let at = resolve(path); !(await isDirectory(at)); at = dirname(at)) missing.unshift(at);
  for (const directory of missing) {
    try {
      await mkdir(directory);
      await syncDirectory(dirname(directory));
    } catch (error) {
      // Another process may have made it meanwhile.
      if (systemCode(error) === 'EEXIST' && (await isDirectory(directory))) continue;
      throw fileError(error, 'cannot create', directory);
    }
  }
}

/** Makes what was created, renamed or removed in a directory survive a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    if ((await stat(path)).isDirectory()) return true;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false;
    throw fileError(error, 'cannot create', path);
  }
  throw new CalyxError('unreadable', `cannot create ${path}: a file is there`, {
    hint: 'choose another directory',
  });
}
