import { rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { Digest } from '../core/digest.js';
import { CalyxError, fileError, isCalyxError } from '../core/errors.js';
import { DEFAULT_REF, formatModelName, isRevisionId, type ModelName } from '../core/names.js';
import { syncDirectory, writeFileAtomically } from '../storage/files/durable.js';
import { listNames, readRecord, refSchema, revisionSchema, type DiskCatalog } from './catalog-reader.js';
import { pinNames } from './pins.js';
import type { StoreLayout } from './store-layout.js';

/** What a removal freed. */
export interface Removed {
  readonly blobs: readonly Digest[];
  readonly bytes: number;
}

/** What stays of a model that was removed. */
export const retiredSchema = z.strictObject({ generation: z.number().int().positive() });

/**
 * Removes a model with all its revisions, and what was staged for it. The refs go first, so from the first moment on the
 * model is gone as a whole; what a kill leaves behind is removed by the next call. Only the owner of the data directory may
 * call it.
 *
 * @throws CalyxError `not-found` if there is nothing of this model
 */
export async function removeModel(
  layout: StoreLayout,
  catalog: DiskCatalog,
  model: ModelName,
): Promise<Removed> {
  await checkRemovable(layout, catalog, model);
  try {
    await retire(layout, model);
    await rm(layout.refs(model), { recursive: true, force: true });
    if ((await listNames(layout.own)).includes('refs')) await syncDirectory(layout.allRefs);
    const blobs = await listNames(layout.blobs(model));
    let bytes = 0;
    for (const blob of blobs) bytes += await bytesOfItsOwn(layout.blob(model, blob));
    for (const path of [
      layout.model(model),
      layout.staging(model),
      dirname(layout.beside(model, DEFAULT_REF)),
    ]) {
      await rm(path, { recursive: true, force: true });
    }
    await dropRevisions(layout, model);
    await rm(layout.removing(model), { recursive: true, force: true });
    await rm(layout.source(model), { force: true });
    await rm(layout.revisions(model), { recursive: true, force: true });
    return { blobs, bytes };
  } catch (error) {
    throw isCalyxError(error) ? error : fileError(error, 'cannot remove', formatModelName(model));
  }
}

/** What removing a file frees: nothing as long as it has another name, such as that of another model's blob. */
async function bytesOfItsOwn(path: string): Promise<number> {
  return stat(path).then(
    (info) => (info.isFile() && info.nlink === 1 ? info.size : 0),
    () => 0,
  );
}

/**
 * Throws CalyxError `not-found` if there is nothing of this model that {@link removeModel} could remove, `refused` if a pin keeps
 * one of its revisions.
 */
export async function checkRemovable(
  layout: StoreLayout,
  catalog: DiskCatalog,
  model: ModelName,
): Promise<void> {
  // What only other programs keep in this cache is not ours to remove; so the records of the revisions go last.
  const ours = [layout.refs(model), layout.staging(model), layout.revisions(model)];
  const left = await Promise.all(ours.map(listNames));
  if (left.flat().length === 0) await catalog.resolve({ model, revision: DEFAULT_REF });
  const [pin] = await pinNames(layout, model);
  if (pin !== undefined) {
    const name = formatModelName(model);
    throw new CalyxError('refused', `${name} has a pinned revision: ${pin}`, {
      hint: `take its pins away first: calyx unpin ${name} ${pin}`,
    });
  }
}

/** Remembers the highest generation, because a ref's generation never falls: whoever saw a higher one would not follow. */
async function retire(layout: StoreLayout, model: ModelName): Promise<void> {
  const names = (await listNames(layout.refs(model))).filter((name) => name.endsWith('.json'));
  const refs = await Promise.all(names.map((name) => readable(join(layout.refs(model), name), refSchema)));
  const before = await readable(layout.retired(model), retiredSchema);
  const generation = Math.max(...[...refs, before].map((record) => record?.generation ?? 0));
  if (generation > (before?.generation ?? 0))
    await writeFileAtomically(layout.retired(model), `${JSON.stringify({ generation })}\n`);
}

/**
 * Forgets the revisions of a model that has no refs, so that what a killed removal or a killed first publication left behind
 * never shows again.
 *
 * @param keep a revision that stays
 */
export async function dropRevisions(layout: StoreLayout, model: ModelName, keep?: string): Promise<void> {
  const own = (await listNames(layout.revisions(model))).filter((name) => name !== `${keep ?? ''}.json`);
  const used = await manifestsOfOthers(layout, model, keep);
  for (const name of own) {
    const path = join(layout.revisions(model), name);
    const digest = (await readable(path, revisionSchema))?.manifest;
    if (digest !== undefined && used !== undefined && !used.has(digest))
      await rm(layout.manifest(digest), { force: true });
    const revision = name.replace(/\.json$/, '');
    if (isRevisionId(revision)) await rm(layout.snapshot(model, revision), { recursive: true, force: true });
    await rm(path, { force: true });
  }
}

/**
 * The manifests that all models name, without those of one model's revisions other than `keep`: two models with the same content
 * share one. Undefined if it cannot be told because a record is damaged.
 */
async function manifestsOfOthers(
  layout: StoreLayout,
  model: ModelName,
  keep: string | undefined,
): Promise<ReadonlySet<Digest> | undefined> {
  const used = new Set<Digest>();
  const folders = dirname(layout.revisions(model));
  for (const folder of await listNames(folders)) {
    const directory = join(folders, folder);
    for (const name of await listNames(directory)) {
      if (!name.endsWith('.json')) continue;
      if (directory === layout.revisions(model) && name !== `${keep ?? ''}.json`) continue;
      const record = await readable(join(directory, name), revisionSchema);
      if (record === undefined) return undefined;
      used.add(record.manifest);
    }
  }
  return used;
}

/** A record, or undefined if there is none or it is damaged: what goes away need not be whole. */
async function readable<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  try {
    return await readRecord(path, schema);
  } catch (error) {
    if (isCalyxError(error, 'corrupt')) return undefined;
    throw error;
  }
}
