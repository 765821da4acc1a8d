import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../../core/digest.js';
import { CalyxError } from '../../core/errors.js';
import type { ModelName } from '../../core/names.js';
import type { BundledChunk, BundleIndex } from '../../storage/bundles/bundle-index.js';
import { sizeOf } from '../../storage/files/size-of.js';
import type { ContentKeeper, OnBlob } from '../content-keeper.js';
import { STAGED } from '../ingest/importer.js';
import type { Manifest, ManifestFile } from '../manifest.js';
import type { StoreLayout } from '../store-layout.js';
import type { BundledBlobs } from './bundled-blobs.js';
import { ChunkPlaces, chunksOfFile, filesByContent, type ChunkPlace } from './chunk-places.js';
import { bundleOfChunks, bundleOfFile, readChunks, repairBundle, type ChunkToCopy } from './write-bundle.js';

/** A file becomes a bundle as it is if no more than this share of its bytes is in others already. */
const MAX_KNOWN_SHARE = 1 / 64;

/** Keeps content as chunks in bundles, those that are there already once. */
export class ChunkKeeper implements ContentKeeper {
  readonly #layout: StoreLayout;
  readonly #blobs: BundledBlobs;
  readonly #onMoved: OnBlob;

  /**
   * @param blobs told of what it keeps, so that readers find it
   * @param onMoved told of bundles that were repaired, and of blobs that are in bundles now
   */
  constructor(layout: StoreLayout, blobs: BundledBlobs, onMoved: OnBlob = () => undefined) {
    this.#layout = layout;
    this.#blobs = blobs;
    this.#onMoved = onMoved;
  }

  async keep(model: ModelName, _revision: string, manifest: Manifest): Promise<void> {
    const places = await ChunkPlaces.read(this.#layout);
    for (const file of filesByContent(manifest)) {
      const staged = join(this.#layout.staging(model), STAGED.blobs, file.blob);
      if ((await sizeOf(staged)) === file.size) {
        // It was just read, so it repairs what was damaged.
        if (isKnown(places, file)) await this.#repair(places, staged, chunksOfFile(file));
        else await moveIntoBundle(this.#layout, places, staged, chunksOfFile(file));
        await rm(staged, { force: true });
        await this.#onMoved(file.blob);
      } else if (!isKnown(places, file)) {
        throw new CalyxError('corrupt', `the staged copy of ${file.path} is missing or not whole`, {
          hint: "run 'calyx add' again",
        });
      }
    }
    this.#blobs.learn(places, model, manifest);
  }

  published(): Promise<void> {
    return Promise.resolve();
  }

  async #repair(places: ChunkPlaces, path: string, chunks: readonly BundledChunk[]): Promise<void> {
    const goodOf = new Map<ChunkToCopy, { readonly place: ChunkPlace; readonly good: ChunkToCopy }>();
    let position = 0;
    for (const chunk of chunks) {
      const place = places.find(chunk.digest);
      if (place !== undefined) {
        const { bundle, index } = place;
        const kept = { ...chunk, path: this.#layout.bundle(bundle.id), offset: bundle.offsets[index] ?? 0 };
        goodOf.set(kept, { place, good: { ...chunk, path, offset: position } });
      }
      position += chunk.length;
    }
    const bad = new Map<BundleIndex, Map<number, ChunkToCopy>>();
    await readChunks(
      goodOf.keys(),
      () => undefined,
      (chunk) => {
        const found = goodOf.get(chunk);
        if (found === undefined) return;
        const { bundle, index } = found.place;
        bad.set(bundle, (bad.get(bundle) ?? new Map<number, ChunkToCopy>()).set(index, found.good));
      },
    );
    for (const [bundle, good] of bad) {
      await repairBundle(this.#layout, bundle, good);
      await this.#onMoved(bundle.id);
    }
  }
}

/** True if all chunks of a file are in bundles. */
export function isKnown(places: ChunkPlaces, file: ManifestFile): boolean {
  return chunksOfFile(file).every(({ digest }) => places.find(digest) !== undefined);
}

/**
 * Puts those chunks of a file into bundles that are in none yet. The file is gone then.
 *
 * @param places told of what it has put there
 */
export async function moveIntoBundle(
  layout: StoreLayout,
  places: ChunkPlaces,
  path: string,
  chunks: readonly BundledChunk[],
): Promise<void> {
  const fresh: ChunkToCopy[] = [];
  const seen = new Set<Digest>();
  let [position, freshBytes] = [0, 0];
  for (const chunk of chunks) {
    if (places.find(chunk.digest) === undefined && !seen.has(chunk.digest)) {
      seen.add(chunk.digest);
      fresh.push({ ...chunk, path, offset: position });
      freshBytes += chunk.length;
    }
    position += chunk.length;
  }
  const whole = position - freshBytes <= position * MAX_KNOWN_SHARE;
  if (fresh.length > 0)
    places.add(whole ? await bundleOfFile(layout, path, chunks) : await bundleOfChunks(layout, fresh));
  await rm(path, { force: true });
}
