import { systemClock, type Clock } from '../core/clock.js';
import { formatModelName, type ModelName } from '../core/names.js';
import type { FileNode } from './file-tree.js';
import { Recent } from '../core/recent.js';

/** Somebody who uses a revision. */
export interface RevisionUser {
  readonly revision: string;
  /** Who: an address, or a node. */
  readonly by: string;
  /** Since the last read; undefined if the user only has files open. */
  readonly idleMs: number | undefined;
  /** How many files are open. */
  readonly open: number;
  /** True if it is a node that runs blocks of it. */
  readonly node?: boolean;
}

/** NFSv3 has no open: who read within this time may read on. */
export const IN_USE_MS = 600_000;
/** Pairs of a revision and a user that has nothing open which are remembered. */
const KEPT_READERS = 65_536;

interface Use {
  readonly key: string;
  readonly model: string;
  readonly revision: string;
  readonly by: string;
  lastRead: number | undefined;
  open: number;
}

/** Remembers who reads which revision, so that none is removed under its readers. */
export class RevisionUsage {
  readonly #clock: Clock;
  readonly #readers = new Recent<string, Use>(KEPT_READERS);
  /** With open files; who opens them bounds their number. */
  readonly #openers = new Map<string, Use>();

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
    this.#openers.set(use.key, use);
    this.#readers.delete(use.key);
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      use.open -= 1;
      if (use.open > 0) return;
      this.#openers.delete(use.key);
      this.#readers.set(use.key, use);
    };
  }

  /** Somebody has read of it so long ago, as was written down before. */
  restore(revision: FileNode['revision'], by: string, idleMs: number): void {
    this.#use({ revision }, by).lastRead = this.#clock.now() - idleMs;
  }

  /** Those who read last, to be written down: for how long each has not read. */
  recent(
    most: number,
  ): { readonly model: string; readonly revision: string; readonly by: string; readonly idleMs: number }[] {
    const now = this.#clock.now();
    return [...this.#readers.values(), ...this.#openers.values()]
      .slice(-most)
      .flatMap(({ model, revision, by, lastRead, open }) => {
        if (open === 0 && lastRead === undefined) return [];
        return [{ model, revision, by, idleMs: open > 0 ? 0 : now - (lastRead ?? now) }];
      });
  }

  /** Who uses a model now: has a file open, or read one within the last ten minutes. */
  usersOf(model: ModelName): RevisionUser[] {
    const name = formatModelName(model);
    const now = this.#clock.now();
    const users: RevisionUser[] = [];
    for (const { model: used, revision, by, lastRead, open } of [
      ...this.#openers.values(),
      ...this.#readers.values(),
    ]) {
      const idleMs = lastRead === undefined ? undefined : now - lastRead;
      if (used === name && (open > 0 || (idleMs !== undefined && idleMs < IN_USE_MS)))
        users.push({ revision, by, idleMs, open });
    }
    return users;
  }

  #use({ revision: { model, revision } }: Pick<FileNode, 'revision'>, by: string): Use {
    const name = formatModelName(model);
    const key = `${name}@${revision} ${by}`;
    const known = this.#openers.get(key) ?? this.#readers.get(key);
    if (known !== undefined) return known;
    const use: Use = { key, model: name, revision, by, lastRead: undefined, open: 0 };
    this.#readers.set(key, use);
    return use;
  }
}
