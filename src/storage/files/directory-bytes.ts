import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCode } from '../../core/errors.js';

/** Bytes of all regular files below a directory; links are not followed. 0 if it does not exist. */
export async function directoryBytes(path: string): Promise<number> {
  let bytes = 0;
  try {
    for (const entry of await readdir(path, { withFileTypes: true })) {
      const child = join(path, entry.name);
      if (entry.isDirectory()) bytes += await directoryBytes(child);
      else if (entry.isFile()) bytes += (await lstat(child)).size;
    }
  } catch (error) {
    // What vanishes while we count takes no space.
    if (systemCode(error) !== 'ENOENT') throw error;
  }
  return bytes;
}
