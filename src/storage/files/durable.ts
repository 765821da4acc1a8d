import { randomBytes } from 'node:crypto';
import { open, readFile, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeDirectories, syncDirectory } from './make-directories.js';

export { syncDirectory };

/**
 * Writes a file whole or not at all: beside its place, synced, then renamed. Parent directories are made.
 *
 * @param prepare sets what else the file must have, such as its owner, before it stands at its place
 * @param mode its permissions, from its first byte on
 */
export async function writeFileAtomically(
  path: string,
  content: Uint8Array | string,
  prepare?: (file: FileHandle) => Promise<void>,
  mode = 0o644,
): Promise<void> {
  await makeDirectories(dirname(path));
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(content);
      await prepare?.(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/**
 * Names this boot of the machine. What a process wrote without syncing survives its own death, but not the machine's; so
 * unsynced bytes are trusted only within the boot that wrote them.
 */
export async function bootId(): Promise<string> {
  // Where the kernel does not tell, no two boots are the same: nothing unsynced is trusted.
  return readFile('/proc/sys/kernel/random/boot_id', 'utf8').then(
    (text) => text.trim(),
    () => randomBytes(16).toString('hex'),
  );
}
