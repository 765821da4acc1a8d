import { systemClock, type Clock } from '../core/clock.js';
import { formatModelName, type ModelName } from '../core/names.js';
import type { FileNode } from './file-tree.js';
import { Recent } from './tree/recent.js';

/** Somebody who uses a revision. */
export interface RevisionUser {
  readonly revision: string;
  /** Who: an address. */
  readonly by: string;
  /** Since the last read; undefined if the user only has files open. */
  readonly idleMs: number | undefined;
  /** How many files are open. */
  readonly open: number;
}

/** NFSv3 has no open: who read within this time may read on. */
const IN_USE_MS = 600_000;
/** Pairs of a revision and a user that are remembered. */
const KEPT_USERS = 65_536;

interface Use {
  readonly model: string;
  readonly revision: string;
  readonly by: string;
  lastRead: number | undefined;
  open: number;
}

/** Remembers who reads which revision, so that none is removed under its readers. */
export class RevisionUsage {
  readonly #clock: Clock;
  readonly #uses = new Recent<string, Use>(KEPT_USERS);

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** `by` has read from the file. */
  read(file: FileNode, by: string): void {
    this.#use(file, by).lastRead = this.#clock.now();
  }

  /** `by` has the file open, until it calls what this returns. */
  open(file: Pick<FileNode, 'revision'>, by: string): () => void {
    const use = this.#use(file, by);
    use.open += 1;
    let open = true;
    return () => {
      if (open) use.open -= 1;
      open = false;
    };
  }

  /** Who uses a model now: has a file open, or read one within the last ten minutes. */
  usersOf(model: ModelName): RevisionUser[] {
    const name = formatModelName(model);
    const now = this.#clock.now();
    const users: RevisionUser[] = [];
    for (const { model: used, revision, by, lastRead, open } of this.#uses.values()) {
      const idleMs = lastRead === undefined ? undefined : now - lastRead;
      if (used === name && (open > 0 || (idleMs !== undefined && idleMs < IN_USE_MS)))
        users.push({ revision, by, idleMs, open });
    }
    return users;
  }

  #use({ revision: { model, revision } }: Pick<FileNode, 'revision'>, by: string): Use {
    const name = formatModelName(model);
    const key = `${name}@${revision} ${by}`;
    let use = this.#uses.get(key);
    if (use === undefined) {
      use = { model: name, revision, by, lastRead: undefined, open: 0 };
      this.#uses.set(key, use);
    }
    return use;
  }
}
