import { ok, problem, unseen, type Verdict } from '../finding.js';
import { isHidden, type FileFacts, type SeenFile } from '../facts/file-facts.js';
import { shellQuote } from '../../../placement/mount-advice/shell-quote.js';

/** Whatever group and others may do with a file. */
const OTHERS = 0o077;

/** What is to be for one user alone. */
export interface PrivateFiles {
  /** The directory, and what is in it. */
  readonly directory: SeenFile | undefined;
  readonly files: readonly SeenFile[];
  /** What they are, for people: `the identity of the cluster and its tokens`. */
  readonly what: string;
  /** Who should own them. */
  readonly owner: number | undefined;
  /** What to do besides chmod if somebody may have read them. */
  readonly ifRead: string;
}

/** Each file that somebody else may read or write, with the command that mends it. */
export function checkPrivateFiles({ directory, files, what, owner, ifRead }: PrivateFiles): Verdict[] {
  if (directory === undefined) return [];
  const all = [directory, ...files];
  const verdicts = all.flatMap((file): Verdict[] => {
    if (isHidden(file)) return [unseen(file.path, file.why, 'run calyx doctor as its owner, or as root')];
    return [...openToOthers(file, ifRead), ...ofSomebodyElse(file, owner)];
  });
  return verdicts.length > 0 ? verdicts : [ok(`${what} are for their owner alone`)];
}

function openToOthers({ path, kind, mode }: FileFacts, ifRead: string): Verdict[] {
  if (kind === 'other')
    return [
      problem(`${path} is neither a file nor a directory`, `see where it comes from (ls -l ${shellQuote(path)}); remove it`),
    ];
  if ((mode & OTHERS) === 0) return [];
  const wanted = kind === 'directory' ? '700' : '600';
  const can = (mode & 0o022) === 0 ? 'read' : 'read or change';
  return [
    problem(
      `others may ${can} ${path} (mode ${mode.toString(8).padStart(4, '0')})`,
      `chmod ${wanted} ${shellQuote(path)}; ${ifRead}`,
    ),
  ];
} // prettier-ignore

function ofSomebodyElse({ path, uid }: FileFacts, owner: number | undefined): Verdict[] {
  if (owner === undefined || uid === owner) return [];
  return [
    problem(
      `${path} belongs to user ${uid}, and what is around it to user ${owner}`,
      `chown ${owner} ${shellQuote(path)}, or run all commands for it as one user`,
    ),
  ];
}
