import { rm } from 'node:fs/promises';
import { fileError } from '../../core/errors.js';
import { DEFAULT_REF, formatModelName, type ModelName } from '../../core/names.js';
import { writeFileAtomically } from '../../storage/files/durable.js';
import { listNames, readRecord } from '../catalog-reader.js';
import { manifestIds } from '../manifest-codec.js';
import { moveRef, type Published } from '../publish.js';
import { dropRevisions } from '../remove.js';
import type { SignRef } from '../sign-refs.js';
import type { StoreLayout } from '../store-layout.js';
import { originRecordSchema, type OriginRecord } from './origin-record.js';

/**
 * Publishes a model whose content lies in object storage: as `publishStaged` does, without blobs. Nothing of it is shown in the Hugging
 * Face cache layout, whose links would lead nowhere. Only the owner of the data directory may call it.
 *
 * @param manifest its canonical bytes
 * @param record from which objects it was made
 */
export async function publishOrigin(
  layout: StoreLayout,
  model: ModelName,
  manifest: Uint8Array,
  record: OriginRecord,
  sign?: SignRef,
): Promise<Published> {
  const { digest, revision } = manifestIds(manifest);
  try {
    if ((await listNames(layout.refs(model))).length === 0) await dropRevisions(layout, model, revision);
    // First, because a revision without it would be taken for one whose content is on the disk.
    await writeFileAtomically(layout.originRecord(model, revision), `${JSON.stringify(record)}\n`);
    await writeFileAtomically(layout.manifest(digest), manifest);
    await writeFileAtomically(layout.revision(model, revision), `${JSON.stringify({ manifest: digest })}\n`);
    return await moveRef(layout, model, DEFAULT_REF, { revision, manifest: digest }, sign);
  } catch (error) {
    throw fileError(error, 'cannot publish', formatModelName(model));
  }
}

/**
 * The revisions of a model whose content lies in object storage and not, because they were added too, in the data directory, with their
 * records. Rejects with CalyxError `corrupt`, `unreadable`.
 */
export async function originRecords(
  layout: StoreLayout,
  model: ModelName,
): Promise<Map<string, OriginRecord>> {
  const records = new Map<string, OriginRecord>();
  const onDisk = new Set(await listNames(layout.snapshots(model)));
  for (const name of await listNames(layout.originRecords(model))) {
    if (!name.endsWith('.json')) continue;
    const revision = name.slice(0, -'.json'.length);
    if (onDisk.has(revision)) continue;
    const record = await readRecord(layout.originRecord(model, revision), originRecordSchema);
    if (record !== undefined) records.set(revision, record);
  }
  return records;
}

/** Forgets that a model lay in object storage. */
export async function dropOriginRecords(layout: StoreLayout, model: ModelName): Promise<void> {
  await rm(layout.originRecords(model), { recursive: true, force: true });
}
