import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { ContentUsage } from '../../catalog/content-usage.js';
import type { UsersOf } from '../../catalog/gc/choose-expired.js';
import { RevisionUsage, type RevisionUser } from '../../catalog/revision-usage.js';
import type { StoreLayout } from '../../catalog/store-layout.js';
import type { NodeRegistry } from '../../cluster/node-registry.js';
import { wallClock } from '../../core/clock.js';
import { fileError, systemCode } from '../../core/errors.js';
import { formatModelName, parseModelName, type ModelName } from '../../core/names.js';
import type { ReadContent } from '../../protocols/http/send-file.js';
import { writeFileAtomically } from '../../storage/files/durable.js';

/** How often a running store writes down who reads: what a crash forgets is younger than this. */
const SAVE_EVERY_MS = 15_000;
/** Of each kind, the latest; more readers at once are not expected. */
const SAVED = 2048;

const ofRevision = z.object({ model: z.string(), revision: z.string(), by: z.string(), idleMs: z.number() });
const savedSchema = z.object({
  /** Milliseconds since 1970. */
  savedAt: z.number(),
  nfs: z.array(ofRevision),
  http: z.array(ofRevision),
  contents: z.array(z.object({ content: z.string(), by: z.string(), idleMs: z.number() })),
});

/**
 * Who uses what of a store. It is written down from time to time, so that a store that has just started, or a collection while none
 * runs, knows who read a moment ago: a mount goes on when its server is back.
 */
export class StoreUsage {
  readonly nfs = new RevisionUsage();
  readonly #http = new RevisionUsage();
  readonly #contents = new ContentUsage();
  readonly #layout: StoreLayout;
  readonly #registry: NodeRegistry | undefined;
  #timer: NodeJS.Timeout | undefined;
  #last = '';
  #saving: Promise<void> = Promise.resolve();

  private constructor(layout: StoreLayout, registry: NodeRegistry | undefined) {
    this.#layout = layout;
    this.#registry = registry;
  }

  /**
   * Reads what was written down last; a file that is damaged says nothing.
   *
   * @param registry which nodes run what; none if no store runs
   */
  static async load(layout: StoreLayout, registry?: NodeRegistry): Promise<StoreUsage> {
    const usage = new StoreUsage(layout, registry);
    const text = await readFile(layout.usage, 'utf8').catch((error: unknown) => {
      if (systemCode(error) !== 'ENOENT') throw fileError(error, 'cannot read', layout.usage);
      return '';
    });
    const saved = parse(text);
    if (saved === undefined) return usage;
    const since = Math.max(0, wallClock.now() - saved.savedAt);
    for (const [into, entries] of [[usage.nfs, saved.nfs], [usage.#http, saved.http]] as const)
      for (const { model, revision, by, idleMs } of entries)
        into.restore({ model: parseModelName(model), revision }, by, idleMs + since);
    for (const { content, by, idleMs } of saved.contents)
      usage.#contents.restore(content, by, idleMs + since);
    return usage;
  } // prettier-ignore

  /** Who uses revisions of a model now: readers and nodes. */
  readonly allUsersOf: UsersOf = (model, revisions) => [
    ...this.nfs.usersOf(model),
    ...this.#http.usersOf(model),
    ...this.#contents.usersOf(revisions),
    ...this.#nodesOf(model),
  ];

  /** Somebody begins to read over HTTP; what it returns says that it is over. */
  startReading(what: ReadContent, by: string): () => void {
    if ('manifest' in what) return this.#contents.reading(what.manifest, by);
    if ('revision' in what) {
      const close = this.#http.open(what, by);
      this.#http.read(what, by);
      return () => {
        this.#http.read(what, by);
        close();
      };
    }
    const blobs = new Set(what.segments.flatMap((segment) => ('blob' in segment ? [segment.blob] : [])));
    const ends = [...blobs].map((blob) => this.#contents.reading(blob, by));
    return () => {
      for (const end of ends) end();
    };
  }

  /** Writes it down from now on; for the owner of the data directory. */
  keepSaving(onError: (error: unknown) => void): void {
    this.#timer = setInterval(() => {
      this.#saving = this.#saving.then(() => this.#save()).catch(onError);
    }, SAVE_EVERY_MS);
    this.#timer.unref();
  }

  /** Writes it down for the last time. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#saving;
    await this.#save();
  }

  async #save(): Promise<void> {
    const nodes = (this.#registry?.list() ?? []).map(({ model, revision, name, url }) => ({
      ...{ model, revision, by: nodeCalled(name, url), idleMs: 0 },
    }));
    const now = {
      nfs: this.nfs.recent(SAVED),
      http: [...nodes, ...this.#http.recent(SAVED)],
      contents: this.#contents.recent(SAVED),
    };
    // While nobody reads, nothing is written.
    const who = JSON.stringify(now, (key, value: unknown) => (key === 'idleMs' ? undefined : value));
    const busy = [...now.nfs, ...now.http, ...now.contents].some(({ idleMs }) => idleMs < 2 * SAVE_EVERY_MS);
    if (!busy && who === this.#last) return;
    this.#last = who;
    const text = JSON.stringify({ savedAt: wallClock.now(), ...now });
    await writeFileAtomically(this.#layout.usage, text, undefined, 0o600);
  }

  #nodesOf(model: ModelName): RevisionUser[] {
    const nodes = this.#registry?.list(formatModelName(model)) ?? [];
    return nodes.map(({ revision, name, url }) => ({
      ...{ revision, by: nodeCalled(name, url), idleMs: undefined, open: 1, node: true },
    }));
  }
}

function nodeCalled(name: string, url: string): string {
  return `${name} at ${url}`;
}

function parse(text: string): z.infer<typeof savedSchema> | undefined {
  try {
    return savedSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
