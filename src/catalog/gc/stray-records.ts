import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isDigest, type Digest } from '../../core/digest.js';
import { isCalyxError, systemCode } from '../../core/errors.js';
import { isRevisionId, modelOfCacheFolder, type ModelName } from '../../core/names.js';
import { listNames, readRecord, revisionSchema } from '../catalog-reader.js';
import type { StoreLayout } from '../store-layout.js';
import { doomedFile, type DoomedFile } from './doomed-content.js';
import { STALE_MS } from './model-survey.js';

/** What a write that was killed leaves beside its place, see `writeFileAtomically`. */
const UNFINISHED = /\.[0-9a-f]{12}\.tmp$/;

/** Records of all models that nothing needs. */
export interface StrayRecords {
  readonly manifests: readonly DoomedFile[];
  /** Files that a killed write left. */
  readonly unfinished: readonly DoomedFile[];
}

/**
 * Finds records that nothing needs: several models may share a manifest, so all of them are asked. Changes nothing.
 *
 * @param isGone revisions that are taken for gone although their record is there
 * @param now milliseconds since 1970
 */
export async function strayRecords(
  layout: StoreLayout,
  isGone: (model: ModelName, revision: string) => boolean,
  now: number,
): Promise<StrayRecords> {
  const unfinished: DoomedFile[] = [];
  for (const path of await unfinishedFiles(layout)) {
    const info = await lstat(path).catch(ifMissing);
    if (info === undefined || now - info.mtimeMs <= STALE_MS) continue;
    const file = await doomedFile(path);
    if (file !== undefined) unfinished.push(file);
  }
  const needed = await neededManifests(layout, isGone);
  const manifests: DoomedFile[] = [];
  for (const name of needed === undefined ? [] : await listNames(layout.manifests)) {
    const digest = name.replace(/\.json$/, '');
    if (digest === name || !isDigest(digest) || needed?.has(digest) === true) continue;
    const file = await doomedFile(layout.manifest(digest));
    if (file !== undefined) manifests.push(file);
  }
  return { manifests, unfinished };
}

/** The manifests of all revisions; undefined if it cannot be told because a record is damaged. */
export async function neededManifests(
  layout: StoreLayout,
  isGone: (model: ModelName, revision: string) => boolean = () => false,
): Promise<Set<Digest> | undefined> {
  const needed = new Set<Digest>();
  for (const root of [layout.allRevisions, layout.allRemoving]) {
    for (const folder of await listNames(root)) {
      const model = modelOfCacheFolder(folder);
      for (const name of await listNames(join(root, folder))) {
        const revision = name.replace(/\.json$/, '');
        if (model === undefined || revision === name || !isRevisionId(revision)) continue;
        if (isGone(model, revision)) continue;
        try {
          const record = await readRecord(join(root, folder, name), revisionSchema);
          if (record !== undefined) needed.add(record.manifest);
        } catch (error) {
          if (isCalyxError(error, 'corrupt')) return undefined;
          throw error;
        }
      }
    }
  }
  return needed;
}

/** Where the catalog's records lie. */
const RECORDS = ['manifests', 'refs', 'revisions', 'removing', 'pins', 'sources', 'retired', 'beside'];

async function unfinishedFiles(layout: StoreLayout): Promise<string[]> {
  const found: string[] = [];
  for (const folder of RECORDS) {
    const root = join(layout.own, folder);
    const names = (await readdir(root, { recursive: true }).catch(ifMissing)) ?? [];
    found.push(...names.filter((name) => UNFINISHED.test(name)).map((name) => join(root, name)));
  }
  return found.sort();
}

function ifMissing(error: unknown): undefined {
  if (!['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) throw error;
}
