import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError, isCalyxError } from '../../core/errors.js';
import { cacheFolder, formatModelName, type ModelName } from '../../core/names.js';
import { sizeOf } from '../../storage/files/size-of.js';
import { listNames, type DiskCatalog } from '../catalog-reader.js';
import { foreignBlobs } from '../gc/model-survey.js';
import { removeEmptyFolders } from '../gc/remove-doomed.js';
import { recordedManifests } from '../recorded-manifests.js';
import type { StoreLayout } from '../store-layout.js';
import { storedRevisions } from '../stored-revisions.js';
import { moveIntoBundle } from './chunk-keeper.js';
import { ChunkPlaces, chunksOfFile, filesByContent } from './chunk-places.js';

/**
 * Turns the plain files of all models into bundles, so that equal chunks are kept once: files become bundles as they are, of others only what
 * is new is copied. May be killed anywhere; the next call goes on. Nobody may read the plain files meanwhile. What other programs'
 * snapshots in this directory lead to stays. Only the owner of the data directory may call it.
 *
 * @returns the names of models of which there were plain files
 */
export async function convertToChunks(layout: StoreLayout, catalog: DiskCatalog): Promise<string[]> {
  const converted = new Map<string, ModelName>();
  try {
    const places = await ChunkPlaces.read(layout);
    for await (const { model, content } of recordedManifests(layout, catalog)) {
      const plain = new Set(await listNames(layout.blobs(model)));
      if (plain.size === 0) continue;
      const ours = (await storedRevisions(layout, model)).map(({ revision }) => revision);
      const foreign = await foreignBlobs(layout, model, new Set(ours));
      for (const file of filesByContent(content)) {
        const path = layout.blob(model, file.blob);
        if (!plain.has(file.blob) || foreign.has(file.blob) || (await sizeOf(path)) !== file.size) continue;
        await moveIntoBundle(layout, places, path, chunksOfFile(file));
        converted.set(cacheFolder(model), model);
      }
    }
    // Also of models whose last run was killed here.
    for await (const { model, revision } of recordedManifests(layout, catalog))
      await hideSnapshot(layout, model, revision);
  } catch (error) {
    throw isCalyxError(error) ? error : fileError(error, 'cannot turn into chunks', layout.root);
  }
  return [...converted.values()].map(formatModelName).sort();
}

/** The links of a revision lead nowhere now. */
async function hideSnapshot(layout: StoreLayout, model: ModelName, revision: string): Promise<void> {
  await rm(layout.snapshot(model, revision), { recursive: true, force: true });
  for (const name of await listNames(join(layout.model(model), 'refs'))) {
    const path = layout.hubRef(model, name);
    const named = await readFile(path, 'utf8').catch(() => undefined);
    if (named?.trim() === revision) await rm(path, { force: true });
  }
  await removeEmptyFolders(layout, model);
}
