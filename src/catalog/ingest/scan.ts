import { access, constants, readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CalyxError, fileError } from '../../core/errors.js';
import { parseFilePath } from '../../core/names.js';

/** What tells that a file is the same as before. */
export interface FileIdentity {
  readonly size: number;
  readonly inode: string;
  /** Last change of the content, in nanoseconds. */
  readonly mtimeNs: string;
}

/** A file to be published. */
export interface SourceFile extends FileIdentity {
  /** Relative to the model's directory. */
  readonly path: string;
  /** Where its content lies; symbolic links are followed. */
  readonly realPath: string;
}

/** More files than any model has. */
const MAX_FILES = 100_000;

/**
 * Lists the files of a model's directory by path. Names that begin with '.' are passed over (`.git`, `.cache`).
 *
 * @throws CalyxError `unreadable` before anything is read if one of the files cannot be
 */
export async function scanDirectory(directory: string): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  const visit = async (relative: string, depth: number): Promise<void> => {
    if (depth > 16)
      throw new CalyxError('usage', `${join(directory, relative)} is nested too deeply for a model`);
    const entries = await readdir(join(directory, relative)).catch((error: unknown) => {
      throw fileError(error, 'cannot list', join(directory, relative));
    });
    for (const name of entries) {
      if (name.startsWith('.')) continue;
      const path = relative === '' ? name : `${relative}/${name}`;
      const absolute = join(directory, path);
      try {
        const info = await stat(absolute);
        if (info.isDirectory()) {
          await visit(path, depth + 1);
          continue;
        }
        if (!info.isFile())
          throw new CalyxError('usage', `${absolute} is neither a file nor a directory`, {
            hint: 'move it away',
          });
        files.push(await lookAt(directory, path));
      } catch (error) {
        throw fileError(error, 'cannot read', absolute);
      }
      if (files.length > MAX_FILES)
        throw new CalyxError('usage', `${directory} has more than ${MAX_FILES} files`);
    }
  };
  await visit('', 0);
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Looks at some files of a directory, by path. Throws CalyxError `unreadable`. */
export async function scanFiles(directory: string, paths: readonly string[]): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  for (const path of [...paths].sort()) {
    try {
      files.push(await lookAt(directory, path));
    } catch (error) {
      throw fileError(error, 'cannot read', join(directory, path));
    }
  }
  return files;
}

async function lookAt(directory: string, path: string): Promise<SourceFile> {
  const absolute = join(directory, path);
  await access(absolute, constants.R_OK);
  const realPath = await realpath(absolute);
  return { path: parseFilePath(path), realPath, ...(await identify(realPath)) };
}

/** Looks at a file. Rejects with the system's error. */
export async function identify(path: string): Promise<FileIdentity> {
  const info = await stat(path, { bigint: true });
  return { size: Number(info.size), inode: String(info.ino), mtimeNs: String(info.mtimeNs) };
}

/** True if nothing tells the two apart. */
export function sameFile(a: FileIdentity, b: FileIdentity): boolean {
  return a.size === b.size && a.inode === b.inode && a.mtimeNs === b.mtimeNs;
}

/** The error for a file that changed while it was being published. */
export function changedError(path: string): CalyxError {
  return new CalyxError('changed', `${path} changed while it was read; nothing was published`, {
    hint: 'wait until whatever writes it has finished, then run the command again',
  });
}
