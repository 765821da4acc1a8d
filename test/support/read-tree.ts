import { createHash } from 'node:crypto';
import { lstat, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The paths of all files below a directory, sorted; links count as files. */
export async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  const below = entries.map(async (entry) =>
    entry.isDirectory()
      ? (await filesBelow(join(directory, entry.name))).map((path) => `${entry.name}/${path}`)
      : [entry.name],
  );
  return (await Promise.all(below)).flat().sort();
}

/** Size and SHA-256 of the files below a directory, by their paths; links are followed, hidden files passed over. */
export async function digestsBelow(directory: string): Promise<Record<string, string>> {
  const paths = (await filesBelow(directory)).filter((path) => !path.startsWith('.'));
  const digests = paths.map(async (path): Promise<[string, string]> => {
    const content = await readFile(join(directory, path));
    return [path, `${content.byteLength} ${createHash('sha256').update(content).digest('hex')}`];
  });
  return Object.fromEntries(await Promise.all(digests));
}

/** What of a directory shows that something was written into it: each entry with the times of its content and its record. */
export async function traces(directory: string): Promise<string[]> {
  const { mtimeMs, ctimeMs, size } = await lstat(directory);
  const entries = await readdir(directory, { withFileTypes: true });
  const below = entries.map(async (entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return traces(path);
    const info = await lstat(path);
    return [`${path} ${info.size} ${info.mtimeMs} ${info.ctimeMs}`];
  });
  return [`${directory} ${size} ${mtimeMs} ${ctimeMs}`, ...(await Promise.all(below)).flat()].sort();
}
