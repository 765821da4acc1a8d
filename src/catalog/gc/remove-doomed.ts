import { readFile, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Digest } from '../../core/digest.js';
import { fileError, systemCode } from '../../core/errors.js';
import { DEFAULT_REF, formatModelName, isRevisionId, type ModelName } from '../../core/names.js';
import { syncDirectory } from '../../storage/files/durable.js';
import { makeDirectories } from '../../storage/files/make-directories.js';
import { listNames } from '../catalog-reader.js';
import type { StoreLayout } from '../store-layout.js';
import type { DoomedContent, DoomedFile } from './doomed-content.js';

/** What was moved away, so that it is gone as a whole, before it is removed file by file. */
const SNAPSHOT = '.snapshot';
const STAGING = '.staging';

/**
 * Makes a revision gone: its record moves away, by which at the same moment it is written down that its content is to be removed.
 */
export async function forgetRevision(layout: StoreLayout, model: ModelName, revision: string): Promise<void> {
  const from = layout.revision(model, revision);
  const to = join(layout.removing(model), `${revision}.json`);
  try {
    await makeDirectories(dirname(to));
    await rename(from, to);
    await syncDirectory(dirname(to));
    await syncDirectory(dirname(from));
  } catch (error) {
    throw fileError(error, 'cannot remove', from);
  }
}

/** Removes what {@link doomedContent} found of a model. May be killed anywhere: as long as anything is left, a record tells of it. */
export async function removeDoomed(
  layout: StoreLayout,
  model: ModelName,
  { revisions, staged, strays }: DoomedContent,
  onRemoved: (blob: Digest) => Promise<void>,
): Promise<void> {
  const removing = layout.removing(model);
  try {
    for (const { revision } of revisions)
      await moveAway(layout.snapshot(model, revision), join(removing, `${revision}${SNAPSHOT}`));
    for (const { path, blob } of [...revisions.flatMap(({ blobs }) => blobs), ...strays, ...staged]) {
      if (blob === undefined) continue;
      await rm(path, { force: true });
      await onRemoved(blob);
    }
    await syncDirectory(layout.blobs(model)).catch(ifMissing);
    if (staged.length > 0) {
      await makeDirectories(removing);
      await moveAway(layout.staging(model), join(removing, `all${STAGING}`));
    }
    for (const name of await listNames(removing))
      if (name.endsWith(SNAPSHOT) || name.endsWith(STAGING))
        await rm(join(removing, name), { recursive: true, force: true });
    await finish(layout, model);
  } catch (error) {
    throw fileError(error, 'cannot remove content of', formatModelName(model));
  }
}

/** Removes files. */
export async function removeFiles(files: readonly DoomedFile[]): Promise<void> {
  for (const { path } of files) {
    await rm(path, { force: true }).catch((error: unknown) => {
      throw fileError(error, 'cannot remove', path);
    });
  }
}

/** Others see all of a directory or none of it. */
async function moveAway(directory: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await rename(directory, to).catch(ifMissing);
}

/** Nothing is left of the revisions that were removed but their records, and maybe empty directories. */
async function finish(layout: StoreLayout, model: ModelName): Promise<void> {
  const removing = layout.removing(model);
  const records = (await listNames(removing)).filter((name) => isRevisionId(name.replace(/\.json$/, '')));
  if ((await listNames(layout.refs(model))).length === 0) {
    const hubRef = layout.hubRef(model, DEFAULT_REF);
    const named = await readFile(hubRef, 'utf8').catch(ifMissing);
    if (named !== undefined && records.includes(`${named.trim()}.json`)) await rm(hubRef, { force: true });
  }
  for (const name of records) await rm(join(removing, name), { force: true });
  for (const directory of [removing, layout.revisions(model)]) await rmdir(directory).catch(ifStays);
  await removeEmptyFolders(layout, model);
}

/** Removes what is empty of a model's part of the Hugging Face cache layout. */
export async function removeEmptyFolders(layout: StoreLayout, model: ModelName): Promise<void> {
  const folders = ['snapshots', 'blobs', 'refs'].map((name) => join(layout.model(model), name));
  for (const directory of [...folders, layout.model(model)]) await rmdir(directory).catch(ifStays);
}

function ifMissing(error: unknown): undefined {
  if (!['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) throw error;
}

function ifStays(error: unknown): void {
  if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(systemCode(error) ?? '')) throw error;
}
