import { ok, problem, unseen, type Verdict } from '../finding.js';
import { isHidden, type SeenFile } from '../facts/file-facts.js';
import { privacyFaults } from '../../../storage/files/privacy.js';

/** What is to be for one user alone. */
export interface PrivateFiles {
  /** The directory, and what is in it. */
  readonly directory: SeenFile | undefined;
  readonly files: readonly SeenFile[];
  /** What they are, for people: `the identity of the cluster and its tokens`. */
  readonly what: string;
  /** Who may own them; undefined where users have no numbers. */
  readonly owners: readonly number[] | undefined;
  /** What to do besides chmod if somebody may have read them. */
  readonly ifRead: string;
}

/** Each file that somebody else may read or write, with the command that mends it. */
export function checkPrivateFiles({ directory, files, what, owners, ifRead }: PrivateFiles): Verdict[] {
  if (directory === undefined) return [];
  const all = [directory, ...files];
  const verdicts = all.flatMap((file): Verdict[] => {
    if (isHidden(file)) return [unseen(file.path, file.why, 'run calyx doctor as its owner, or as root')];
    return privacyFaults(file, owners).map(({ problem: what, wayOut }) =>
      problem(what, wayOut.startsWith('chmod') ? `${wayOut}; ${ifRead}` : wayOut),
    );
  });
  return verdicts.length > 0 ? verdicts : [ok(`${what} are for their owner alone`)];
}
