import { systemClock, type Clock } from '../core/clock.js';
import type { Digest } from '../core/digest.js';
import { Recent } from '../core/recent.js';
import { IN_USE_MS, type RevisionUser } from './revision-usage.js';

/** A revision, and by which content its readers are known. */
export interface RevisionContent {
  readonly revision: string;
  readonly manifest: Digest;
  readonly blobs: Iterable<Digest>;
}

/** Pairs of a content and a reader that has no answer under way which are remembered. */
const KEPT_READERS = 65_536;

interface Use {
  readonly key: string;
  readonly content: Digest;
  readonly by: string;
  lastRead: number;
  open: number;
}

/**
 * Remembers who reads which manifests and blobs: over HTTP they are asked for by their digests alone. Whoever reads a blob that
 * several revisions have is taken for a reader of those whose manifest he got, or of all if he got none of them here.
 */
export class ContentUsage {
  readonly #clock: Clock;
  readonly #readers = new Recent<string, Use>(KEPT_READERS);
  /** With answers under way; the server bounds their number. */
  readonly #openers = new Map<string, Use>();

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** `by` reads the manifest or blob, until it calls what this returns. */
  reading(content: Digest, by: string): () => void {
    const key = `${content} ${by}`;
    const now = this.#clock.now();
    const known = this.#openers.get(key) ?? this.#readers.get(key);
    const use = known ?? { key, content, by, lastRead: now, open: 0 };
    use.lastRead = now;
    use.open += 1;
    this.#readers.delete(key);
    this.#openers.set(key, use);
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      use.open -= 1;
      use.lastRead = this.#clock.now();
      if (use.open > 0) return;
      this.#openers.delete(key);
      this.#readers.set(key, use);
    };
  }

  /** Somebody has read it so long ago, as was written down before. */
  restore(content: Digest, by: string, idleMs: number): void {
    const key = `${content} ${by}`;
    this.#readers.set(key, { key, content, by, lastRead: this.#clock.now() - idleMs, open: 0 });
  }

  /** The latest readers, to be written down: for how long each has not read. */
  recent(most: number): { readonly content: Digest; readonly by: string; readonly idleMs: number }[] {
    const now = this.#clock.now();
    return [...this.#readers.values(), ...this.#openers.values()]
      .slice(-most)
      .map(({ content, by, lastRead, open }) => ({ content, by, idleMs: open > 0 ? 0 : now - lastRead }));
  }

  /** Who uses revisions of one model now: reads of them, or did within the last ten minutes. */
  usersOf(revisions: readonly RevisionContent[]): RevisionUser[] {
    const manifests = new Map<Digest, string[]>();
    const holders = new Map<Digest, string[]>();
    for (const { revision, manifest, blobs } of revisions) {
      manifests.set(manifest, [...(manifests.get(manifest) ?? []), revision]);
      for (const blob of new Set(blobs)) holders.set(blob, [...(holders.get(blob) ?? []), revision]);
    }
    const uses = [...this.#openers.values(), ...this.#readers.values()];
    const known = new Set(
      uses.flatMap(({ content, by }) =>
        (manifests.get(content) ?? []).map((revision) => `${revision} ${by}`),
      ),
    );
    const now = this.#clock.now();
    const users = new Map<string, RevisionUser>();
    for (const { content, by, lastRead, open } of uses) {
      const idleMs = open > 0 ? 0 : now - lastRead;
      if (idleMs >= IN_USE_MS) continue;
      const having = holders.get(content) ?? [];
      const his = having.filter((revision) => known.has(`${revision} ${by}`));
      for (const revision of [...(manifests.get(content) ?? []), ...(his.length > 0 ? his : having)]) {
        const key = `${revision} ${by}`;
        const before = users.get(key);
        users.set(key, {
          revision,
          by,
          idleMs: Math.min(idleMs, before?.idleMs ?? Infinity),
          open: open + (before?.open ?? 0),
        });
      }
    }
    return [...users.values()];
  }
}
