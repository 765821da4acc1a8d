import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDigest, type Digest } from '../../core/digest.js';
import { CalyxError, systemCode } from '../../core/errors.js';
import { formatModelName } from '../../core/names.js';
import { listNames } from '../catalog-reader.js';
import { STAGED } from '../ingest/importer.js';
import { decodeManifest } from '../manifest-codec.js';
import type { StoreLayout } from '../store-layout.js';
import { STALE_MS, type ModelSurvey } from './model-survey.js';

/** A file that nothing needs. */
export interface DoomedFile {
  readonly path: string;
  /** The blob that it is, if it is one. */
  readonly blob?: Digest;
  readonly size: number;
  /** Names the file whatever its paths are. */
  readonly inode: string;
  /** How many paths lead to it. */
  readonly links: number;
}

/** What goes with one revision. */
export interface DoomedRevision {
  readonly revision: string;
  readonly blobs: readonly DoomedFile[];
}

/** All files of a model that nothing needs once some revisions are gone. */
export interface DoomedContent {
  /** By revision id. What two of them have goes with the first. */
  readonly revisions: readonly DoomedRevision[];
  /** What an add that was given up had staged. */
  readonly staged: readonly DoomedFile[];
  /** Blobs of no revision at all. */
  readonly strays: readonly DoomedFile[];
}

/**
 * Finds out what nothing needs any more. Changes nothing.
 *
 * @param expired revisions that are taken for gone, besides those whose removal has begun
 * @param now milliseconds since 1970
 * @throws CalyxError `corrupt` if the manifest of a revision that stays cannot be read, so that it is not known what that needs
 */
export async function doomedContent(
  layout: StoreLayout,
  survey: ModelSurvey,
  expired: ReadonlySet<string>,
  now: number,
): Promise<DoomedContent> {
  const { model, manifests, staging } = survey;
  const needed = new Set(survey.foreign);
  for (const { revision } of survey.revisions) {
    if (expired.has(revision)) continue;
    const manifest = manifests.get(revision);
    if (manifest === undefined) {
      throw new CalyxError(
        'corrupt',
        `the manifest of ${formatModelName(model)}@${revision} is damaged, so it is not known what it needs`,
        { hint: 'add that revision again, or remove the model' },
      );
    }
    for (const { blob } of manifest.files) needed.add(blob);
  }
  const taken = new Set<Digest>();
  const take = async (blobs: Iterable<Digest>): Promise<DoomedFile[]> => {
    const found: DoomedFile[] = [];
    for (const blob of blobs) {
      if (needed.has(blob) || taken.has(blob)) continue;
      taken.add(blob);
      const file = await doomedFile(layout.blob(model, blob));
      if (file !== undefined) found.push({ ...file, blob });
    }
    return found;
  };
  const here = new Set(survey.revisions.map(({ revision }) => revision));
  // One that came back while its removal was under way stays.
  const begun = survey.unfinished.map(({ revision }) => revision).filter((revision) => !here.has(revision));
  const revisions: DoomedRevision[] = [];
  for (const revision of [...expired, ...begun].sort()) {
    const files = manifests.get(revision)?.files ?? [];
    revisions.push({ revision, blobs: await take(files.map(({ blob }) => blob)) });
  }
  const staged: DoomedFile[] = [];
  if (staging?.stale === true) {
    // Publishing had begun to move them to their places.
    staged.push(...(await take(await stagedBlobs(layout.staging(model)))));
    for (const path of staging.files) {
      const file = await doomedFile(path);
      if (file !== undefined) staged.push(file);
    }
  }
  const names = await listNames(layout.blobs(model));
  const old: Digest[] = [];
  for (const name of names) {
    if (!isDigest(name) || needed.has(name) || taken.has(name)) continue;
    const info = await lstat(layout.blob(model, name)).catch(ifMissing);
    // Somebody may be about to make the link that leads to it.
    if (info !== undefined && now - info.ctimeMs > STALE_MS) old.push(name);
  }
  return { revisions, staged, strays: await take(old) };
}

/** What is to be removed at a path; undefined if there is nothing. */
export async function doomedFile(path: string): Promise<DoomedFile | undefined> {
  const info = await lstat(path).catch(ifMissing);
  if (info === undefined || info.isDirectory()) return undefined;
  return { path, size: info.size, inode: `${info.dev}:${info.ino}`, links: info.nlink };
}

async function stagedBlobs(staging: string): Promise<Digest[]> {
  const bytes = await readFile(join(staging, STAGED.manifest)).catch(ifMissing);
  if (bytes === undefined) return [];
  try {
    return decodeManifest(bytes).files.map(({ blob }) => blob);
  } catch {
    return [];
  }
}

function ifMissing(error: unknown): undefined {
  if (!['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) throw error;
}
