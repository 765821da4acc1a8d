import { constants, type Stats } from 'node:fs';
import { mkdir, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CalyxError, fileError, systemCode } from '../../core/errors.js';
import { writeFileAtomically } from './durable.js';
import { makeDirectories } from './make-directories.js';
import { privacyFaults, rightfulOwners, type PrivacyFacts } from './privacy.js';

/** Options of {@link readPrivateFile}. */
export interface PrivateFileOptions {
  /** Its directory must be for its owner alone, too. @default false */
  readonly directory?: boolean;
  /** As whom it is read. @default the effective user of the process */
  readonly user?: number | undefined;
}

/** A link is not followed: it would be replaced by the next write. A pipe does not keep us waiting. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * Reads a small file with secrets, which must be a plain file that belongs to this user (see {@link rightfulOwners}), and that nobody
 * else may read or write.
 *
 * @param maxBytes what it may have at most; nothing is allocated for a larger one
 * @returns undefined if it is not there
 * @throws CalyxError `refused` if somebody else may have read or written it; `unreadable`
 */
export async function readPrivateFile(
  path: string,
  maxBytes: number,
  { directory = false, user }: PrivateFileOptions = {},
): Promise<string | undefined> {
  try {
    const owners = await rightfulOwners(path, user);
    const file = await open(path, OPEN_FLAGS);
    try {
      const stats = await file.stat();
      refuse(factsOf(path, stats), owners);
      if (directory) refuse(factsOf(dirname(path), await stat(dirname(path))), owners);
      if (stats.size > maxBytes)
        throw new CalyxError('unreadable', `${path}: it has ${stats.size} bytes, more than ${maxBytes}`, {
          hint: 'this was not written by calyx; restore it from a backup, or remove it',
        });
      return await file.readFile('utf8');
    } finally {
      await file.close();
    }
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    // What open says of a link that it must not follow (open(2)).
    if (systemCode(error) === 'ELOOP') refuse({ path, kind: 'other', mode: 0, uid: 0 }, undefined);
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

function refuse(facts: PrivacyFacts, owners: readonly number[] | undefined): void {
  const faults = privacyFaults(facts, owners);
  if (faults.length === 0) return;
  const problems = faults.map(({ problem }) => problem).join(', and ');
  throw new CalyxError('refused', `${problems}: it holds secrets, and is not used like this`, {
    hint: `${faults.map(({ wayOut }) => wayOut).join('; ')}; if somebody else may have read or changed it, remove it, and make anew whatever it gave access to`,
  });
}

function factsOf(path: string, stats: Stats): PrivacyFacts {
  const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : 'other';
  return { path, kind, mode: stats.mode, uid: stats.uid };
}
