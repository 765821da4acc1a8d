import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errorMessage, systemCode } from '../../../core/errors.js';

/** What there is under a path; its content is not looked at. */
export interface FileFacts {
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'other';
  /** The permission bits alone. */
  readonly mode: number;
  readonly uid: number;
  readonly size: number;
}

/** A path that could not be looked at. */
export interface HiddenFile {
  readonly path: string;
  /** `permission denied`, or what the system said. */
  readonly why: string;
}

export type SeenFile = FileFacts | HiddenFile;

/** Undefined if it is not there. Links are not followed. */
export async function fileFacts(path: string): Promise<SeenFile | undefined> {
  try {
    const stats = await lstat(path);
    const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : 'other';
    return { path, kind, mode: stats.mode & 0o7777, uid: stats.uid, size: stats.size };
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return undefined;
    return hidden(path, error);
  }
}

/** What a directory holds, by name, without what is in its directories. */
export async function filesIn(directory: string): Promise<SeenFile[]> {
  try {
    const names = (await readdir(directory)).sort();
    const seen = await Promise.all(names.map((name) => fileFacts(join(directory, name))));
    return seen.filter((file) => file !== undefined);
  } catch (error) {
    return systemCode(error) === 'ENOENT' ? [] : [hidden(directory, error)];
  }
}

export function isHidden(file: SeenFile): file is HiddenFile {
  return 'why' in file;
}

/** Why something could not be looked at, for people. */
export function whyHidden(error: unknown): string {
  return ['EACCES', 'EPERM'].includes(systemCode(error) ?? '') ? 'permission denied' : errorMessage(error);
}

function hidden(path: string, error: unknown): HiddenFile {
  return { path, why: whyHidden(error) };
}
