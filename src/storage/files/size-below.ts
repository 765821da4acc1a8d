import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Bytes that the files of a directory take on the disk. Rejects with the system's error. */
export async function sizeBelow(directory: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(directory)) {
    const info = await stat(join(directory, name)).catch(() => undefined);
    if (info?.isFile() === true) bytes += info.blocks * 512;
  }
  return bytes;
}
