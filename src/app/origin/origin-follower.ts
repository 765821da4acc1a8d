import { join } from 'node:path';
import type { Logger } from 'pino';
import type { DiskCatalog } from '../../catalog/catalog-reader.js';
import { remoteManifest } from '../../catalog/ingest/remote-manifest.js';
import { Patience } from '../../catalog/ingest/patience.js';
import type { OriginIndex } from '../../catalog/origin/origin-index.js';
import { KnownHashes } from '../../catalog/origin/known-hashes.js';
import { originRecord, sameObjects, type OriginRecord } from '../../catalog/origin/origin-record.js';
import { dropOriginRecords, originRecords, publishOrigin } from '../../catalog/origin/publish-origin.js';
import type { Manifest } from '../../catalog/manifest.js';
import { manifestIds } from '../../catalog/manifest-codec.js';
import { removeModel } from '../../catalog/remove.js';
import type { SignRef } from '../../catalog/sign-refs.js';
import type { StoreLayout } from '../../catalog/store-layout.js';
import { systemClock, type Clock } from '../../core/clock.js';
import type { Digest } from '../../core/digest.js';
import { errorMessage, isCalyxError } from '../../core/errors.js';
import { DEFAULT_REF, formatModelName, parseModelName, type ModelName } from '../../core/names.js';
import { formatSize } from '../../core/units.js';
import type { ObjectBucket, StoredObject } from '../../storage/object-bucket.js';
import type { RemoteFile } from '../../storage/remote/remote-model.js';
import { readBeside, writeBeside, type MadeManifest } from './beside-model.js';
import { findModels, type FoundModel } from './find-models.js';
import { OriginState } from './origin-state.js';

/** What {@link OriginFollower} needs. */
export interface OriginFollowerOptions {
  readonly layout: StoreLayout;
  readonly catalog: DiskCatalog;
  readonly bucket: ObjectBucket;
  readonly index: OriginIndex;
  readonly logger: Logger;
  /** Does one change of the catalog at a time. */
  readonly inTurn: <T>(change: () => Promise<T>) => Promise<T>;
  readonly sign: SignRef;
  /** Told of each blob that the index learns. */
  readonly look: (blob: Digest) => Promise<void>;
  /** From the end of one listing to the next. */
  readonly pollMs: number;
  readonly clock?: Clock;
}

/** The pause after a listing that failed; each further one is twice as long, up to the usual. */
const FIRST_PAUSE_MS = 2_000;

/** Keeps a store's catalog as its bucket is: lists it now and then, publishes what is new, and takes back what is gone. */
export class OriginFollower {
  readonly state: OriginState;
  readonly #options: OriginFollowerOptions;
  readonly #clock: Clock;
  readonly #ending = new AbortController();
  /** Listings that could not be made a model of, which are not tried again until they change. */
  readonly #hopeless = new Map<string, readonly RemoteFile[]>();
  #running: Promise<void> | undefined;

  constructor(options: OriginFollowerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.state = new OriginState(join(options.layout.origin, 'state.json'), options.bucket.name);
  }

  /** Learns what an earlier run has published; what it cannot read is told and passed over. */
  async load(): Promise<void> {
    const { layout, catalog, logger } = this.#options;
    for (const model of await catalog.models()) {
      try {
        const main = (await catalog.refs(model)).get(DEFAULT_REF)?.revision;
        const records = [...(await originRecords(layout, model))];
        // The newest last: of several objects with the same content its is asked first.
        records.sort(([a], [b]) => Number(a === main) - Number(b === main));
        const known = new Set(await catalog.revisions(model));
        for (const [revision, record] of records) {
          if (!known.has(revision)) continue;
          const { manifest } = await catalog.resolve({ model, revision });
          await this.#learn(model, revision, manifest, record);
        }
      } catch (error) {
        logger.error({ err: error, model: formatModelName(model) }, 'what is known of a model is damaged');
      }
    }
  }

  /** Begins to follow; it ends with {@link OriginFollower.close}. */
  start(): void {
    this.#running ??= this.#run();
  }

  async close(): Promise<void> {
    this.#ending.abort();
    await this.#running;
    await this.state.end();
  }

  #isEnding(): boolean {
    return this.#ending.signal.aborted;
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    const { logger, bucket, pollMs } = this.#options;
    let pauseMs = FIRST_PAUSE_MS;
    while (!this.#isEnding()) {
      try {
        const complete = await this.scan(signal);
        pauseMs = complete ? pollMs : Math.min(pauseMs * 2, pollMs);
      } catch (error) {
        if (this.#isEnding()) return;
        pauseMs = Math.min(pauseMs * 2, pollMs);
        this.state.listingFailed(errorMessage(error));
        logger.error({ err: error }, `${bucket.name} cannot be listed`);
      }
      await this.#clock.sleep(pauseMs, signal).catch(() => undefined);
    }
  }

  /**
   * Lists the bucket once and brings the catalog in step. One model that fails does not hold up the others.
   *
   * @returns false if something failed that may pass
   * @throws CalyxError if the bucket cannot be listed
   */
  async scan(signal: AbortSignal): Promise<boolean> {
    const { bucket, logger } = this.#options;
    const objects = await bucket.list(signal);
    const byKey = new Map(objects.map((object) => [object.key, object]));
    const found = findModels(objects);
    this.state.listed(found.map(({ model }) => formatModelName(model)));
    let complete = true;
    for (const one of found) {
      const name = formatModelName(one.model);
      try {
        await this.#bringInStep(one, (key) => byKey.get(key), signal);
        this.#hopeless.delete(name);
      } catch (error) {
        signal.throwIfAborted();
        const mayPass = !isCalyxError(error, 'invalid-model', 'unsupported', 'not-found', 'usage');
        if (mayPass) complete = false;
        else this.#hopeless.set(name, one.files);
        this.state.failed(name, errorMessage(error));
        logger.error(
          { err: error, model: name },
          `the model in ${bucket.name} cannot be served as it is now`,
        );
      }
    }
    await this.#takeBack(new Set(found.map(({ model }) => formatModelName(model))));
    this.state.settle();
    return complete;
  }

  async #bringInStep(
    found: FoundModel,
    find: (key: string) => StoredObject | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { layout, catalog, bucket, logger, inTurn, sign } = this.#options;
    const { model, files } = found;
    const name = formatModelName(model);
    const main = (await catalog.refs(model)).get(DEFAULT_REF)?.revision;
    const records = await originRecords(layout, model);
    const current = main === undefined ? undefined : records.get(main);
    if (main !== undefined && current === undefined) {
      this.state.failed(name, 'a model of this name lies in the data directory and is served instead');
      return;
    }
    if (current !== undefined && sameObjects(current, files)) {
      this.state.shown(name);
      return;
    }
    const given = this.#hopeless.get(name);
    if (given !== undefined && sameObjects({ files: given.map(withVersion) }, files)) return;
    const made = await this.#manifestOf(found, find, signal);
    const { revision } = manifestIds(made.bytes);
    await inTurn(async () => {
      // Before the ref shows it, so that its first reader finds its bytes.
      await this.#learn(model, revision, made.manifest, made.record);
      await publishOrigin(layout, model, made.bytes, made.record, sign);
    });
    this.state.shown(name);
    logger.info(
      `${name}@${revision} is served from ${bucket.name}: ${formatSize(made.manifest.totalBytes)} in ${made.manifest.files.length} files`,
    );
  }

  async #learn(model: ModelName, revision: string, manifest: Manifest, record: OriginRecord): Promise<void> {
    this.#options.index.add(model, revision, manifest, record);
    for (const { blob } of manifest.files) await this.#options.look(blob);
  }

  /** From beside the model, or by reading all of it once. */
  async #manifestOf(
    { model, files }: FoundModel,
    find: (key: string) => StoredObject | undefined,
    signal: AbortSignal,
  ): Promise<MadeManifest> {
    const { layout, bucket, logger } = this.#options;
    const name = formatModelName(model);
    const beside = await readBeside(bucket, model, find, signal);
    if (beside !== undefined && sameObjects(beside.record, files)) return beside;
    const known = await this.#hashesOf(model, beside);
    const totalBytes = files.reduce((sum, { size }) => sum + size, 0);
    logger.info(`${name} in ${bucket.name} is read once to make its manifest: ${formatSize(totalBytes)}`);
    const step = Math.max(totalBytes / 10, 1024 ** 3);
    let doneBytes = 0;
    let told = 0;
    this.state.preparing(name, 0, totalBytes);
    const { manifest, bytes } = await remoteManifest(bucketModel(bucket, name, files), {
      scratch: layout.origin,
      signal,
      known,
      patience: new Patience({
        clock: this.#clock,
        onWait: (error) => logger.warn({ err: error, model: name }, 'a read is tried again'),
      }),
      onBytes: (count) => {
        doneBytes += count;
        this.state.preparing(name, doneBytes, totalBytes);
        if (doneBytes - told < step) return;
        told = doneBytes;
        logger.info(`${name}: ${formatSize(doneBytes)} of ${formatSize(totalBytes)} are known`);
      },
    });
    await known.drop();
    const made = { manifest, bytes, record: originRecord(manifestIds(bytes).digest, files) };
    if (!(await writeBeside(bucket, model, made, signal)))
      logger.warn(
        `the manifest of ${name} cannot be kept in ${bucket.name}; a new store reads the model again`,
      );
    return made;
  }

  /** What earlier revisions, and an earlier run, know of the objects of a model. */
  async #hashesOf(model: ModelName, beside: MadeManifest | undefined): Promise<KnownHashes> {
    const { layout, catalog } = this.#options;
    const known = await KnownHashes.open(join(layout.originRecords(model), 'hashes.jsonl'));
    for (const [revision, record] of await originRecords(layout, model)) {
      const found = await catalog.resolve({ model, revision }).catch((error: unknown) => {
        if (!isCalyxError(error, 'not-found', 'corrupt', 'unreadable')) throw error;
        return undefined;
      });
      if (found !== undefined) known.learn(found.manifest, record);
    }
    if (beside !== undefined) known.learn(beside.manifest, beside.record);
    return known;
  }

  /** What is not in the bucket any more is not shown any more. */
  async #takeBack(there: ReadonlySet<string>): Promise<void> {
    const { layout, catalog, bucket, index, logger, inTurn } = this.#options;
    for (const name of index.models()) {
      if (there.has(name)) continue;
      const model = parseModelName(name);
      try {
        await inTurn(async () => {
          const main = (await catalog.refs(model)).get(DEFAULT_REF)?.revision;
          const isOurs = main !== undefined && (await originRecords(layout, model)).has(main);
          if (isOurs) await removeModel(layout, catalog, model);
          await dropOriginRecords(layout, model);
          index.remove(model);
        });
        logger.warn(`${name} is not in ${bucket.name} any more, so it is not served from there any more`);
      } catch (error) {
        logger.error(
          { err: error, model: name },
          'a model that is gone from the bucket cannot be taken back',
        );
      }
    }
  }
}

function withVersion({ path, size, version }: RemoteFile): { path: string; size: number; version: string } {
  return { path, size, version: version ?? '' };
}

/** A model in the bucket as one that can be read by ranges; each of its objects only as it was listed. */
function bucketModel(
  bucket: ObjectBucket,
  name: string,
  files: readonly RemoteFile[],
): Parameters<typeof remoteManifest>[0] {
  return {
    name: `${bucket.name}/${name}`,
    files,
    read: (file, offset, target, signal) =>
      bucket.read({ key: `${name}/${file.path}`, ...withVersion(file) }, offset, target, signal),
    close: () => Promise.resolve(),
  };
}
