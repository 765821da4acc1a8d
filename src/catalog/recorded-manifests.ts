import type { Digest } from '../core/digest.js';
import { isCalyxError } from '../core/errors.js';
import { modelOfCacheFolder, type ModelName } from '../core/names.js';
import { listNames, type DiskCatalog } from './catalog-reader.js';
import { decodeManifest } from './manifest-codec.js';
import type { Manifest } from './manifest.js';
import type { StoreLayout } from './store-layout.js';
import { storedRevisions, type StoredRevision } from './stored-revisions.js';

/** A revision of which there is a record, and its manifest. */
export interface RecordedManifest extends StoredRevision {
  readonly model: ModelName;
  readonly content: Manifest;
}

/** The manifests of all revisions of all models, one at a time, the oldest of a model first. Those that are damaged are passed over. */
export async function* recordedManifests(
  layout: StoreLayout,
  catalog: Pick<DiskCatalog, 'manifestBytes'>,
): AsyncGenerator<RecordedManifest> {
  for (const folder of (await listNames(layout.allRevisions)).sort()) {
    const model = modelOfCacheFolder(folder);
    const stored = model === undefined ? [] : await storedRevisions(layout, model).catch(ifDamaged);
    if (model === undefined) continue;
    for (const revision of [...(stored ?? [])].reverse()) {
      const content = await readWhole(catalog, revision.manifest);
      if (content !== undefined) yield { ...revision, model, content };
    }
  }
}

async function readWhole(
  catalog: Pick<DiskCatalog, 'manifestBytes'>,
  digest: Digest,
): Promise<Manifest | undefined> {
  try {
    return decodeManifest(await catalog.manifestBytes(digest));
  } catch (error) {
    ifDamaged(error);
    return undefined;
  }
}

function ifDamaged(error: unknown): undefined {
  if (!isCalyxError(error, 'corrupt', 'not-found', 'unreadable')) throw error;
}
