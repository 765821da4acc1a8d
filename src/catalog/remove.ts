import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../core/digest.js';
import { fileError, isCalyxError } from '../core/errors.js';
import { DEFAULT_REF, formatModelName, type ModelName } from '../core/names.js';
import { syncDirectory } from '../storage/files/durable.js';
import { listNames, readRecord, revisionSchema, type DiskCatalog } from './catalog-reader.js';
import { sizeOf } from './ingest/staging-journal.js';
import type { StoreLayout } from './store-layout.js';

/** What a removal freed. */
export interface Removed {
  readonly blobs: readonly Digest[];
  readonly bytes: number;
}

/**
 * Removes a model with all its revisions. The refs go first, so from the first moment on the model is gone as a whole; what a
 * kill leaves behind is removed by the next call. Only the owner of the data directory may call it.
 *
 * @throws CalyxError `not-found` if there is nothing of this model
 */
export async function removeModel(
  layout: StoreLayout,
  catalog: DiskCatalog,
  model: ModelName,
): Promise<Removed> {
  const left = [...(await listNames(layout.revisions(model))), ...(await listNames(layout.blobs(model)))];
  if (left.length === 0) await catalog.resolve({ model, revision: DEFAULT_REF });
  try {
    await rm(layout.refs(model), { recursive: true, force: true });
    await syncDirectory(layout.allRefs);
    const blobs = await listNames(layout.blobs(model));
    let bytes = 0;
    for (const blob of blobs) bytes += (await sizeOf(layout.blob(model, blob))) ?? 0;
    await removeUnusedManifests(layout, model);
    for (const path of [layout.model(model), layout.revisions(model), layout.staging(model)]) {
      await rm(path, { recursive: true, force: true });
    }
    return { blobs, bytes };
  } catch (error) {
    throw isCalyxError(error) ? error : fileError(error, 'cannot remove', formatModelName(model));
  }
}

/** Two models with the same content share one manifest. */
async function removeUnusedManifests(layout: StoreLayout, model: ModelName): Promise<void> {
  const own = await manifestsOf(layout.revisions(model));
  const others = new Set<Digest>();
  const folders = join(layout.own, 'revisions');
  for (const folder of await listNames(folders)) {
    const path = join(folders, folder);
    if (path !== layout.revisions(model)) for (const digest of await manifestsOf(path)) others.add(digest);
  }
  for (const digest of own) if (!others.has(digest)) await rm(layout.manifest(digest), { force: true });
}

async function manifestsOf(directory: string): Promise<Digest[]> {
  const records = await Promise.all(
    (await listNames(directory)).map((name) => readRecord(join(directory, name), revisionSchema)),
  );
  return records.flatMap((record) => (record === undefined ? [] : [record.manifest]));
}
