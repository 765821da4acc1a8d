import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CalyxError, fileError, systemCode } from '../../core/errors.js';
import { writeFileAtomically } from '../../storage/files/durable.js';
import { makeDirectories } from '../../storage/files/make-directories.js';

const OTHERS = 0o077;

/**
 * Reads a small file that nobody but its owner may read or write.
 *
 * @param maxBytes what it may have at most; nothing is allocated for a larger one
 * @returns undefined if it is not there
 * @throws CalyxError `refused` if its permissions let others in: what it says may be known, or not be ours
 */
export async function readPrivateFile(path: string, maxBytes: number): Promise<string | undefined> {
  try {
    const file = await open(path, 'r');
    try {
      const { mode, size } = await file.stat();
      if ((mode & OTHERS) !== 0)
        throw new CalyxError('refused', `${path}: its permissions let others in (${modeText(mode)})`, {
          hint: 'if nobody else can have used it, run chmod 600 on it; else remove it, and whatever it gave access to is to be made anew',
        });
      if (size > maxBytes)
        throw new CalyxError('unreadable', `${path}: it has ${size} bytes, more than ${maxBytes}`, {
          hint: 'this was not written by calyx; restore it from a backup, or remove it',
        });
      return await file.readFile('utf8');
    } finally {
      await file.close();
    }
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw fileError(error, 'cannot read', path);
  }
}

/** Writes such a file whole or not at all; its directory is made for the owner alone if it is not there. */
export async function writePrivateFile(path: string, content: string): Promise<void> {
  const directory = dirname(path);
  try {
    await makeDirectories(dirname(directory));
    await mkdir(directory, { mode: 0o700 }).catch((error: unknown) => {
      if (systemCode(error) !== 'EEXIST') throw error;
    });
    await writeFileAtomically(path, content, undefined, 0o600);
  } catch (error) {
    throw fileError(error, 'cannot write', path);
  }
}

function modeText(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, '0');
}
