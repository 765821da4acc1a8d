import { wallClock } from '../../core/clock.js';
import type { Digest } from '../../core/digest.js';
import { isCalyxError } from '../../core/errors.js';
import { formatModelName, modelOfCacheFolder, type ModelName } from '../../core/names.js';
import { listNames, type DiskCatalog } from '../catalog-reader.js';
import type { StoreLayout } from '../store-layout.js';
import { chooseExpired, type KeptRevision, type UsersOf } from './choose-expired.js';
import { doomedContent, type DoomedContent, type DoomedFile } from './doomed-content.js';
import { collectBundles, type BundleOptions } from './collect-bundles.js';
import { neededManifests, strayRecords } from './stray-records.js';
import { surveyModel, type ModelSurvey } from './model-survey.js';
import { forgetRevision, removeDoomed, removeFiles } from './remove-doomed.js';

/** Options of {@link collectGarbage}. */
export interface GarbageOptions {
  /** Which models; all if not given. */
  readonly only?: (model: ModelName) => boolean;
  /** So many of each model's newest revisions stay, whatever names them. @default 1 */
  readonly keep?: number;
  /** Only says what would be done. @default false */
  readonly dryRun?: boolean;
  readonly usersOf: UsersOf;
  /**
   * Keeps others from adding to a model; in a dry run only looks whether somebody does.
   *
   * @returns who does, or what gives the model free again
   */
  readonly lock: (
    model: ModelName,
    dryRun: boolean,
  ) => Promise<{ readonly heldBy: string } | (() => Promise<void>)>;
  /** Told when revisions are gone for whoever looks, before any of their content goes. */
  readonly onForgotten: () => void;
  /** Told of each blob whose file was removed. */
  readonly onRemoved: (blob: Digest) => Promise<void>;
  /** For a directory that keeps chunks: what readers find there, and who is told of bundles that are gone. */
  readonly bundles?: Pick<BundleOptions, 'blobs' | 'onRemoved'> | undefined;
  /** The time of day, for what is old. @default the machine's */
  readonly now?: number;
}

/** What a collection did, or would do. */
export interface GarbageReport {
  readonly removed: readonly { readonly model: string; readonly revision: string; readonly bytes: number }[];
  readonly kept: readonly ({ readonly model: string } & KeptRevision)[];
  /** What was found besides revisions. */
  readonly leftovers: readonly { readonly model?: string; readonly what: string; readonly bytes: number }[];
  /** Models that were left alone, and why. */
  readonly skipped: readonly { readonly model: string; readonly reason: string }[];
  /** Bytes that are free now, of all of it. */
  readonly bytes: number;
}

/**
 * Removes revisions that nothing keeps, and all content that nothing needs then. A revision is gone as a whole from one moment on,
 * before its content goes; what a kill leaves behind is removed by the next call. Models that somebody adds to are left alone,
 * because an add relies on content that is there. Only the owner of the data directory may call it.
 */
export async function collectGarbage(
  layout: StoreLayout,
  catalog: DiskCatalog,
  options: GarbageOptions,
): Promise<GarbageReport> {
  return new Collection(layout, catalog, options).run();
}

class Collection {
  readonly #layout: StoreLayout;
  readonly #catalog: DiskCatalog;
  readonly #options: GarbageOptions;
  readonly #keep: number;
  readonly #dryRun: boolean;
  readonly #now: number;
  /** How many paths still lead to a file. */
  readonly #links = new Map<string, number>();
  readonly #removed: { model: string; revision: string; bytes: number }[] = [];
  readonly #kept: ({ model: string } & KeptRevision)[] = [];
  readonly #leftovers: { model?: string; what: string; bytes: number }[] = [];
  readonly #skipped: { model: string; reason: string }[] = [];
  /** Revisions that a dry run takes for gone, by model and id. */
  readonly #gone = new Set<string>();
  #bytes = 0;

  constructor(layout: StoreLayout, catalog: DiskCatalog, options: GarbageOptions) {
    this.#layout = layout;
    this.#catalog = catalog;
    this.#options = options;
    this.#keep = options.keep ?? 1;
    this.#dryRun = options.dryRun ?? false;
    this.#now = options.now ?? wallClock.now();
  }

  async run(): Promise<GarbageReport> {
    const { only } = this.#options;
    for (const model of await allModels(this.#layout)) if (only?.(model) !== false) await this.#model(model);
    await this.#records();
    await this.#bundles();
    return {
      removed: this.#removed,
      kept: this.#kept,
      leftovers: this.#leftovers,
      skipped: this.#skipped,
      bytes: this.#bytes,
    };
  }

  async #model(model: ModelName): Promise<void> {
    const name = formatModelName(model);
    const lock = await this.#options.lock(model, this.#dryRun);
    if (typeof lock !== 'function') {
      this.#skipped.push({ model: name, reason: `${lock.heldBy} is at work on it` });
      return;
    }
    try {
      await this.#collect(model);
    } catch (error) {
      // One damaged model must not keep the others from being cleaned.
      if (!isCalyxError(error, 'corrupt', 'unreadable')) throw error;
      const hint = error.hint === undefined ? '' : ` (${error.hint})`;
      this.#skipped.push({ model: name, reason: `${error.message}${hint}` });
    } finally {
      await lock();
    }
  }

  async #collect(model: ModelName): Promise<void> {
    const name = formatModelName(model);
    const survey = await this.#survey(model);
    const choice = chooseExpired(survey, this.#keep, this.#options.usersOf);
    this.#kept.push(...choice.kept.map((kept) => ({ model: name, ...kept })));
    const expired = new Set(choice.expired.map(({ revision }) => revision));
    // Throws, before anything is changed, if it cannot be told what is needed.
    const doomed = await doomedContent(this.#layout, survey, expired, this.#now);
    if (this.#dryRun) {
      for (const revision of expired) this.#gone.add(`${name}@${revision}`);
      this.#report(name, doomed);
      return;
    }
    for (const revision of expired) {
      // Somebody may have begun to read since.
      const [reader] = chooseExpired(survey, this.#keep, this.#options.usersOf).kept.filter(
        (kept) => kept.revision === revision,
      );
      if (reader === undefined) await forgetRevision(this.#layout, model, revision);
      else this.#kept.push({ model: name, ...reader });
    }
    if (expired.size > 0) this.#options.onForgotten();
    const rest = expired.size === 0 ? doomed : await this.#doomedNow(model);
    if (isAnything(rest) || survey.begun)
      await removeDoomed(this.#layout, model, rest, this.#options.onRemoved);
    this.#report(name, rest);
  }

  #survey(model: ModelName): Promise<ModelSurvey> {
    return surveyModel(this.#layout, this.#catalog, model, this.#now);
  }

  async #doomedNow(model: ModelName): Promise<DoomedContent> {
    return doomedContent(this.#layout, await this.#survey(model), new Set(), this.#now);
  }

  #report(model: string, { revisions, staged, strays }: DoomedContent): void {
    for (const { revision, blobs } of revisions)
      this.#removed.push({ model, revision, bytes: this.#free(blobs) });
    if (staged.length > 0)
      this.#leftovers.push({ model, what: 'what an interrupted add had staged', bytes: this.#free(staged) });
    if (strays.length > 0)
      this.#leftovers.push({ model, what: 'blobs of no revision', bytes: this.#free(strays) });
  }

  /** What removing files frees: nothing as long as another path leads to one. */
  #free(files: readonly DoomedFile[]): number {
    let bytes = 0;
    for (const { inode, links, size } of files) {
      const left = (this.#links.get(inode) ?? links) - 1;
      this.#links.set(inode, left);
      if (left === 0) bytes += size;
    }
    this.#bytes += bytes;
    return bytes;
  }

  readonly #isGone = (model: ModelName, revision: string): boolean =>
    this.#gone.has(`${formatModelName(model)}@${revision}`);

  async #records(): Promise<void> {
    const { manifests, unfinished } = await strayRecords(this.#layout, this.#isGone, this.#now);
    for (const [what, files] of [
      ['manifests of no revision', manifests],
      ['files that were never finished', unfinished],
    ] as const) {
      if (files.length === 0) continue;
      if (!this.#dryRun) await removeFiles(files);
      this.#leftovers.push({ what, bytes: this.#free(files) });
    }
  }

  async #bundles(): Promise<void> {
    const { bundles } = this.#options;
    if (bundles === undefined) return;
    const needed = await neededManifests(this.#layout, this.#isGone);
    try {
      // A damaged record was reported with its model.
      if (needed === undefined) return;
      const options = { ...bundles, needed, dryRun: this.#dryRun };
      const { bytes, problem } = await collectBundles(this.#layout, this.#catalog, options);
      if (bytes > 0) this.#leftovers.push({ what: 'chunks of no revision', bytes });
      if (problem !== undefined) this.#skipped.push({ model: 'bundles of chunks', reason: problem });
      this.#bytes += bytes;
    } catch (error) {
      if (!isCalyxError(error, 'corrupt', 'not-found', 'unreadable')) throw error;
      this.#skipped.push({ model: 'bundles of chunks', reason: error.message });
    }
  }
}

function isAnything({ revisions, staged, strays }: DoomedContent): boolean {
  return revisions.length + staged.length + strays.length > 0;
}

/** All models of which there is anything at all. */
export async function allModels(layout: StoreLayout): Promise<ModelName[]> {
  const roots = [layout.allRefs, layout.allRevisions, layout.allRemoving, layout.allStaging];
  const folders = new Set((await Promise.all(roots.map(listNames))).flat());
  return [...folders].sort().flatMap((folder) => modelOfCacheFolder(folder) ?? []);
}
