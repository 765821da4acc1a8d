import { randomBytes } from 'node:crypto';
import { readlink, rename, rm, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import type { Digest } from '../core/digest.js';
import { CalyxError } from '../core/errors.js';
import type { ModelName } from '../core/names.js';
import { syncDirectory } from '../storage/files/durable.js';
import { makeDirectories } from '../storage/files/make-directories.js';
import { sizeOf } from '../storage/files/size-of.js';
import { listNames } from './catalog-reader.js';
import type { ContentKeeper, OnBlob } from './content-keeper.js';
import { STAGED } from './ingest/importer.js';
import type { Manifest } from './manifest.js';
import { shareBlobs } from './share-blobs.js';
import type { StoreLayout } from './store-layout.js';

/** Keeps content as plain files in the Hugging Face cache layout: blobs, and a snapshot of links to them. */
export class FileKeeper implements ContentKeeper {
  readonly #layout: StoreLayout;
  readonly #onMoved: OnBlob;
  #moved: Digest[] = [];

  /** @param onMoved told of each blob that took its place, maybe that of a damaged one, also if a later step fails */
  constructor(layout: StoreLayout, onMoved: OnBlob = () => undefined) {
    this.#layout = layout;
    this.#onMoved = onMoved;
  }

  async keep(model: ModelName, revision: string, manifest: Manifest): Promise<void> {
    this.#moved = await moveBlobs(this.#layout, model, manifest, this.#onMoved);
    await makeSnapshot(this.#layout, model, revision, manifest);
  }

  published(model: ModelName): Promise<void> {
    return shareBlobs(this.#layout, model, this.#moved, this.#onMoved);
  }
}

/** Returns the blobs that were staged, and are in their places now. */
async function moveBlobs(
  layout: StoreLayout,
  model: ModelName,
  manifest: Manifest,
  onMoved: OnBlob,
): Promise<Digest[]> {
  const blobs = layout.blobs(model);
  const moved: Digest[] = [];
  await makeDirectories(blobs);
  for (const file of manifest.files) {
    const target = layout.blob(model, file.blob);
    const staged = join(layout.staging(model), STAGED.blobs, file.blob);
    // Also over a blob that is there: it may have been damaged, and this one was just read.
    if ((await sizeOf(staged)) === file.size) {
      await rename(staged, target);
      moved.push(file.blob);
      await onMoved(file.blob);
    } else if ((await sizeOf(target)) !== file.size) {
      throw new CalyxError('corrupt', `the staged copy of ${file.path} is missing or not whole`, {
        hint: "run 'calyx add' again",
      });
    }
  }
  await syncDirectory(blobs);
  return moved;
}

/** The links of a revision. Of one that is there, what is missing or leads elsewhere is put right. */
async function makeSnapshot(
  layout: StoreLayout,
  model: ModelName,
  revision: string,
  manifest: Manifest,
): Promise<void> {
  const snapshot = layout.snapshot(model, revision);
  const snapshots = dirname(snapshot);
  const exists = (await listNames(snapshots)).includes(revision);
  // A new one is made beside its place, so that nobody sees half of it.
  const root = exists ? snapshot : join(layout.staging(model), `snapshot-${randomBytes(6).toString('hex')}`);
  const changed = new Set<string>();
  for (const file of manifest.files) {
    const place = join(root, file.path);
    // The target is relative to the link's final place.
    const target = relative(dirname(join(snapshot, file.path)), layout.blob(model, file.blob));
    if (exists && (await readlink(place).catch(() => undefined)) === target) continue;
    await makeDirectories(dirname(place));
    await rm(place, { recursive: true, force: true });
    await symlink(target, place);
    changed.add(dirname(place));
  }
  for (const directory of changed) await syncDirectory(directory);
  if (exists) return;
  await makeDirectories(snapshots);
  await rename(root, snapshot);
  await syncDirectory(snapshots);
}
