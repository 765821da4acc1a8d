import { lstat, readdir, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Digest } from '../../core/digest.js';
import { isCalyxError, systemCode } from '../../core/errors.js';
import { cacheFolder, isRevisionId, type ModelName } from '../../core/names.js';
import { listNames, readRecord, revisionSchema, type DiskCatalog, type Ref } from '../catalog-reader.js';
import { decodeManifest } from '../manifest-codec.js';
import type { Manifest } from '../manifest.js';
import { readPins, type Pin } from '../pins.js';
import type { StoreLayout } from '../store-layout.js';
import { storedRevisions, type StoredRevision } from '../stored-revisions.js';

/** What nobody has touched for so long was given up: an add that was interrupted is not gone on with. */
export const STALE_MS = 7 * 24 * 3600 * 1000;

/** What there is of one model. */
export interface ModelSurvey {
  readonly model: ModelName;
  /** None: nobody sees the model. It was never published, or its removal was interrupted. */
  readonly refs: ReadonlyMap<string, Ref>;
  readonly pins: ReadonlyMap<string, Pin>;
  /** Newest first. */
  readonly revisions: readonly StoredRevision[];
  /** Revisions that are removed already, but not all of their files. */
  readonly unfinished: readonly Pick<StoredRevision, 'revision' | 'manifest'>[];
  /** True if a removal was begun and is not over. */
  readonly begun: boolean;
  /** By revision, those that can be read. */
  readonly manifests: ReadonlyMap<string, Manifest>;
  /** Of an add that is not over. */
  readonly staging: StagingSurvey | undefined;
  /** Blobs that other programs' snapshots in the model's folder lead to. */
  readonly foreign: ReadonlySet<Digest>;
}

/** A staging area. */
export interface StagingSurvey {
  readonly stale: boolean;
  readonly files: readonly string[];
}

/**
 * Looks at all that there is of a model. Changes nothing.
 *
 * @param now milliseconds since 1970
 * @throws CalyxError `corrupt` if a record is damaged, so that it is not known what is needed
 */
export async function surveyModel(
  layout: StoreLayout,
  catalog: DiskCatalog,
  model: ModelName,
  now: number,
): Promise<ModelSurvey> {
  const refs = await catalog.refs(model);
  const pins = await readPins(layout, model);
  const revisions = await storedRevisions(layout, model);
  const unfinished: Pick<StoredRevision, 'revision' | 'manifest'>[] = [];
  for (const name of await listNames(layout.removing(model))) {
    const revision = name.replace(/\.json$/, '');
    if (revision === name || !isRevisionId(revision)) continue;
    const record = await readRecord(join(layout.removing(model), name), revisionSchema).catch(ifDamaged);
    if (record !== undefined) unfinished.push({ revision, manifest: record.manifest });
  }
  const manifests = new Map<string, Manifest>();
  for (const { revision, manifest } of [...unfinished, ...revisions]) {
    const bytes = await catalog.manifestBytes(manifest).catch(ifDamaged);
    if (bytes !== undefined) manifests.set(revision, decodeManifest(bytes));
  }
  const ours = new Set([...revisions, ...unfinished].map(({ revision }) => revision));
  return {
    ...{ model, refs, pins, revisions, unfinished, manifests },
    begun: (await listNames(layout.allRemoving)).includes(cacheFolder(model)),
    staging: await surveyStaging(layout.staging(model), now),
    foreign: await foreignBlobs(layout, model, ours),
  };
}

function ifDamaged(error: unknown): undefined {
  if (!isCalyxError(error, 'corrupt', 'not-found')) throw error;
}

async function surveyStaging(directory: string, now: number): Promise<StagingSurvey | undefined> {
  const files: string[] = [];
  let changedAt = -Infinity;
  const names = await readdir(directory, { recursive: true }).catch(ifMissing);
  if (names === undefined) return undefined;
  for (const name of ['', ...names]) {
    const info = await lstat(join(directory, name)).catch(ifMissing);
    if (info === undefined) continue;
    // A link keeps the time of its original; when it was made shows in ctime.
    changedAt = Math.max(changedAt, info.mtimeMs, info.ctimeMs);
    if (!info.isDirectory()) files.push(join(directory, name));
  }
  return { stale: now - changedAt > STALE_MS, files };
}

/**
 * Blobs that snapshots lead to which are not of our revisions. The data directory is a cache that other programs may fill too: what they
 * show is not ours to judge.
 */
export async function foreignBlobs(
  layout: StoreLayout,
  model: ModelName,
  ours: ReadonlySet<string>,
): Promise<Set<Digest>> {
  const snapshots = layout.snapshots(model);
  const blobs = new Set<Digest>();
  for (const revision of await listNames(snapshots)) {
    if (ours.has(revision)) continue;
    const entries = await readdir(join(snapshots, revision), { recursive: true, withFileTypes: true }).catch(
      ifMissing,
    );
    for (const entry of entries ?? []) {
      if (!entry.isSymbolicLink()) continue;
      const target = await readlink(join(entry.parentPath, entry.name)).catch(ifMissing);
      if (target !== undefined) blobs.add(basename(target));
    }
  }
  return blobs;
}

function ifMissing(error: unknown): undefined {
  if (!['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) throw error;
}
