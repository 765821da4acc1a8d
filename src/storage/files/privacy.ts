import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { shellQuote } from '../../core/shell-quote.js';

/** What there is to know of something that is to be for one user alone. */
export interface PrivacyFacts {
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'other';
  readonly mode: number;
  readonly uid: number;
}

/** What is wrong with it, and the command that mends it. */
export interface PrivacyFault {
  readonly problem: string;
  readonly wayOut: string;
}

/** Whatever group and others may do with a file, and what changes it. */
const OTHERS = 0o077;
const OTHERS_WRITE = 0o022;
const PERMISSIONS = 0o7777;

/**
 * Why a file with secrets, or its directory, is not for its owner alone; nothing if it is.
 *
 * @param owners the users to whom it may belong; undefined where users have no numbers
 */
export function privacyFaults(
  { path, kind, mode, uid }: PrivacyFacts,
  owners: readonly number[] | undefined,
): PrivacyFault[] {
  const quoted = shellQuote(path);
  const faults: PrivacyFault[] = [];
  if (kind === 'other')
    faults.push({
      problem: `${path} is neither a file nor a directory`,
      wayOut: `see where it comes from (ls -l ${quoted}), and put a file in its place`,
    });
  else if ((mode & OTHERS) !== 0)
    faults.push({
      problem: `others may ${(mode & OTHERS_WRITE) === 0 ? 'read' : 'read or change'} ${path} (mode ${(mode & PERMISSIONS).toString(8).padStart(4, '0')})`,
      wayOut: `chmod ${kind === 'directory' ? '700' : '600'} ${quoted}`,
    });
  const [owner] = owners ?? [];
  if (owners !== undefined && owner !== undefined && !owners.includes(uid))
    faults.push({
      problem: `${path} belongs to user ${uid}, not to user ${owner}`,
      wayOut: `chown ${owner} ${quoted}, or run all commands for it as one user`,
    });
  return faults;
}

/**
 * Who may own a file with secrets for this process to go by it: the user that it runs as, and root. Root goes also by what belongs to
 * the owner of its directory, for whom it then acts (`sudo calyx token list --data ...`), but not by what a third one has put there.
 *
 * @param user the effective user; undefined where users have no numbers
 */
export async function rightfulOwners(
  path: string,
  user: number | undefined = process.geteuid?.(),
): Promise<readonly number[] | undefined> {
  if (user === undefined) return undefined;
  if (user !== ROOT) return [user, ROOT];
  const around = await stat(dirname(path)).catch(() => undefined);
  return around === undefined ? [ROOT] : [around.uid, ROOT];
}

const ROOT = 0;
