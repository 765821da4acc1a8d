import { randomBytes } from 'node:crypto';
import { link, lstat, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Digest } from '../core/digest.js';
import { systemCode } from '../core/errors.js';
import { cacheFolder, modelOfCacheFolder, type ModelName } from '../core/names.js';
import { syncDirectory } from '../storage/files/durable.js';
import { makeDirectories } from '../storage/files/make-directories.js';
import { listNames } from './catalog-reader.js';
import type { StoreLayout } from './store-layout.js';

/**
 * Makes equal blobs of all models one file on the disk: where another model has a blob that this one has just got, its copy gives way
 * to a hard link to the new one. The new one was just read and compared with its digest, while the other may have been damaged since
 * it was; so a link never spreads damage, it repairs it. Where the file system has no hard links each model keeps its copy.
 *
 * @param blobs those that were just written and verified
 * @param onReplaced told of each blob whose file was replaced
 */
export async function shareBlobs(
  layout: StoreLayout,
  model: ModelName,
  blobs: readonly Digest[],
  onReplaced: (blob: Digest) => void | Promise<void>,
): Promise<void> {
  const own = cacheFolder(model);
  const folders = (await listNames(layout.allRevisions)).filter((folder) => folder !== own);
  for (const other of folders.flatMap((folder) => modelOfCacheFolder(folder) ?? [])) {
    let changed = false;
    for (const blob of blobs) {
      if (!(await replaceByLink(layout, layout.blob(model, blob), other, blob))) continue;
      await onReplaced(blob);
      changed = true;
    }
    if (changed) await syncDirectory(layout.blobs(other));
  }
}

/** True if the other model's blob was replaced. */
async function replaceByLink(
  layout: StoreLayout,
  fresh: string,
  other: ModelName,
  blob: Digest,
): Promise<boolean> {
  const place = layout.blob(other, blob);
  const beside = layout.beside(other, `${blob}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    const [ours, theirs] = [await lstat(fresh), await lstat(place)];
    if (!theirs.isFile() || ours.ino === theirs.ino) return false;
    // A link to the original of whoever published it: nobody else relies on it that nobody writes there.
    if (await hasOtherNames(layout, fresh, blob)) return false;
    await makeDirectories(dirname(beside));
    await link(fresh, beside);
    await rename(beside, place);
    return true;
  } catch (error) {
    // The other model has no such blob, or the file system no links: then each has its own, as before.
    if (systemCode(error) === undefined) throw error;
    await rm(beside, { force: true });
    return false;
  }
}

/** True if a file has more names than the blobs of this store that are it. */
async function hasOtherNames(layout: StoreLayout, path: string, blob: Digest): Promise<boolean> {
  const { nlink, ino } = await lstat(path);
  if (nlink === 1) return false;
  let known = 0;
  for (const folder of await listNames(layout.allRevisions)) {
    const model = modelOfCacheFolder(folder);
    if (model === undefined) continue;
    const info = await lstat(layout.blob(model, blob)).catch(() => undefined);
    if (info?.ino === ino) known += 1;
  }
  return nlink > known;
}
