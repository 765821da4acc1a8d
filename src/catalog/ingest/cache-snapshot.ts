import { readFile, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { isDigest } from '../../core/digest.js';
import { CalyxError, fileError } from '../../core/errors.js';
import { DEFAULT_REF, isRevisionId, modelOfCacheFolder, type ModelName } from '../../core/names.js';

/** A snapshot in a Hugging Face cache: a directory of links to blobs. */
export interface CacheSnapshot {
  readonly directory: string;
  readonly model: ModelName;
  /** The commit of the Hub. */
  readonly revision: string;
}

/**
 * The snapshot that a path means: `models--ORG--NAME` (its ref `main`, or the only one there is) or `models--ORG--NAME/snapshots/COMMIT`.
 * Undefined if the path is not in the layout of a Hugging Face cache.
 *
 * @throws CalyxError `usage` for a folder from which no snapshot follows
 */
export async function findSnapshot(path: string): Promise<CacheSnapshot | undefined> {
  const absolute = resolve(path);
  const above = dirname(absolute);
  const name = basename(absolute);
  if (basename(above) === 'snapshots' && isRevisionId(name)) {
    const model = modelOfCacheFolder(basename(dirname(above)));
    return model && { directory: absolute, model, revision: name };
  }
  const model = modelOfCacheFolder(name);
  if (model === undefined) return undefined;
  const snapshots = await readdir(join(absolute, 'snapshots')).then(
    (names) => names.filter(isRevisionId),
    (): string[] => [],
  );
  // A directory that only has such a name.
  if (snapshots.length === 0) return undefined;
  const main = await readFile(join(absolute, 'refs', DEFAULT_REF), 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  );
  const revision = snapshots.length === 1 ? snapshots[0] : main;
  if (revision !== undefined && snapshots.includes(revision))
    return { directory: join(absolute, 'snapshots', revision), model, revision };
  throw new CalyxError(
    'usage',
    `${path} has ${snapshots.length} snapshots, and its ref ${DEFAULT_REF} names none of them`,
    {
      hint: `name one of them: ${join(path, 'snapshots', snapshots[0] ?? 'COMMIT')}`,
    },
  );
}

/** What the name of a blob in such a cache says of its content: the SHA-256 of a large file, the git id of another one. */
export function idOfCacheBlob(
  realPath: string,
): { readonly sha256: string } | { readonly gitBlob: string } | undefined {
  const name = basename(realPath);
  if (basename(dirname(realPath)) !== 'blobs') return undefined;
  if (isDigest(name)) return { sha256: name };
  return isRevisionId(name) ? { gitBlob: name } : undefined;
}

/** True if a path is a directory. Rejects with CalyxError if that cannot be told. */
export async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    const failure = fileError(error, 'cannot look at', path);
    if (failure.code === 'not-found') return false;
    throw failure;
  }
}
