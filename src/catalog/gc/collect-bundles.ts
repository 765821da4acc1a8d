import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../../core/digest.js';
import { isCalyxError, systemCode } from '../../core/errors.js';
import type { BundleIndex } from '../../storage/bundles/bundle-index.js';
import { syncDirectory } from '../../storage/files/durable.js';
import { sizeOf } from '../../storage/files/size-of.js';
import type { BundledBlobs } from '../bundles/bundled-blobs.js';
import { ChunkPlaces, chunksOfFile, filesByContent } from '../bundles/chunk-places.js';
import { bundleOfChunks, type ChunkToCopy } from '../bundles/write-bundle.js';
import { listNames, type DiskCatalog } from '../catalog-reader.js';
import { STAGED } from '../ingest/importer.js';
import { decodeManifest } from '../manifest-codec.js';
import type { StoreLayout } from '../store-layout.js';

/** A bundle is written again without what nothing needs if that is more than this share of it: less is not worth the copy. */
const MAX_DEAD_SHARE = 1 / 4;

/** A bundle, and what of it is needed. */
interface Use {
  readonly bundle: BundleIndex;
  readonly bytes: number;
  readonly live: readonly ChunkToCopy[];
  readonly liveBytes: number;
}

/** Options of {@link collectBundles}. */
export interface BundleOptions {
  /** The manifests of all that stays. */
  readonly needed: ReadonlySet<Digest>;
  readonly dryRun: boolean;
  /** What readers find; told of what has moved before the old place goes. */
  readonly blobs: BundledBlobs;
  /** Told of each bundle that is gone. */
  readonly onRemoved: (bundle: Digest) => Promise<void>;
}

/** What {@link collectBundles} did, or would do. */
export interface BundleReport {
  /** That are free now. */
  readonly bytes: number;
  /** Of chunks that nothing needs, in bundles most of which something does. */
  readonly keptBytes: number;
  /** Why a bundle could not be written again, if one could not; it stays as it was. */
  readonly problem?: string;
}

/**
 * Removes bundles that nothing needs, and writes those again of which much is needed by nothing. Readers go on meanwhile. May be killed
 * anywhere. Only the owner of the data directory may call it.
 *
 * @throws CalyxError `corrupt` if a manifest that is needed is damaged
 */
export async function collectBundles(
  layout: StoreLayout,
  catalog: DiskCatalog,
  { needed, dryRun, blobs, onRemoved }: BundleOptions,
): Promise<BundleReport> {
  const names = await listNames(layout.bundles);
  if (names.length === 0) return { bytes: 0, keptBytes: 0 };
  const places = await ChunkPlaces.read(layout);
  const wanted = await neededChunks(layout, catalog, needed);
  const uses = places.bundles.map((bundle) => useOf(layout, places, bundle, wanted));
  const doomed = uses.filter(({ bytes, liveBytes }) => bytes - liveBytes > bytes * MAX_DEAD_SHARE);
  const stray = await strayFiles(layout, names);
  const problem = dryRun
    ? undefined
    : await removeBundles(layout, catalog, { doomed, stray, blobs, onRemoved });
  const bytes = dead(doomed) + stray.reduce((sum, { size }) => sum + size, 0);
  return { bytes, keptBytes: dead(uses) - dead(doomed), ...(problem !== undefined && { problem }) };
}

interface Removal extends Pick<BundleOptions, 'blobs' | 'onRemoved'> {
  /** Those that cannot be written again are taken out. */
  readonly doomed: Use[];
  readonly stray: readonly { readonly path: string }[];
}

async function removeBundles(
  layout: StoreLayout,
  catalog: DiskCatalog,
  { doomed, stray, blobs, onRemoved }: Removal,
): Promise<string | undefined> {
  let problem: string | undefined;
  for (const { path } of stray) await rm(path, { force: true });
  for (const use of [...doomed]) {
    try {
      if (use.live.length > 0) await bundleOfChunks(layout, use.live);
    } catch (error) {
      if (!isCalyxError(error, 'corrupt', 'disk-full', 'unreadable')) throw error;
      problem = error.message;
      doomed.splice(doomed.indexOf(use), 1);
    }
  }
  if (doomed.length === 0) return problem;
  // Without its index nobody finds a bundle any more.
  for (const { bundle } of doomed) await rm(layout.bundleIndex(bundle.id), { force: true });
  await syncDirectory(layout.bundles);
  await blobs.refresh(catalog);
  for (const { bundle } of doomed) {
    await rm(layout.bundle(bundle.id), { force: true });
    await onRemoved(bundle.id);
  }
  return problem;
}

function dead(uses: readonly Use[]): number {
  return uses.reduce((sum, { bytes, liveBytes }) => sum + bytes - liveBytes, 0);
}

/** A chunk that lies in two bundles is needed in the first. */
function useOf(
  layout: StoreLayout,
  places: ChunkPlaces,
  bundle: BundleIndex,
  wanted: ReadonlySet<Digest>,
): Use {
  const live = bundle.chunks.flatMap((chunk, index): ChunkToCopy[] => {
    const place = places.find(chunk.digest);
    if (!wanted.has(chunk.digest) || place?.bundle !== bundle || place.index !== index) return [];
    return [{ ...chunk, path: layout.bundle(bundle.id), offset: bundle.offsets[index] ?? 0 }];
  });
  const liveBytes = live.reduce((sum, { length }) => sum + length, 0);
  return { bundle, bytes: bundle.offsets.at(-1) ?? 0, live, liveBytes };
}

/** The chunks of all revisions, and of adds that are not over. */
async function neededChunks(
  layout: StoreLayout,
  catalog: DiskCatalog,
  manifests: ReadonlySet<Digest>,
): Promise<Set<Digest>> {
  const chunks = new Set<Digest>();
  const need = (bytes: Uint8Array): void => {
    for (const file of filesByContent(decodeManifest(bytes)))
      for (const { digest } of chunksOfFile(file)) chunks.add(digest);
  };
  for (const digest of manifests) need(await catalog.manifestBytes(digest));
  for (const folder of await listNames(layout.allStaging)) {
    const bytes = await readFile(join(layout.allStaging, folder, STAGED.manifest)).catch(ifMissing);
    try {
      if (bytes !== undefined) need(bytes);
    } catch (error) {
      // The next add makes it anew.
      if (!isCalyxError(error, 'corrupt')) throw error;
    }
  }
  return chunks;
}

/** What a kill has left: an index without its chunks, chunks without their index, files that were never finished. */
async function strayFiles(
  layout: StoreLayout,
  names: readonly string[],
): Promise<{ path: string; size: number }[]> {
  const there = new Set(names);
  // Where both are there and do not fit each other, something is damaged, and may still be of use.
  const stray = names.filter((name) => {
    const id = name.replace(/\.(?:chunks|index)$/, '');
    return !there.has(`${id}.chunks`) || !there.has(`${id}.index`);
  });
  return Promise.all(
    stray.map(async (name) => {
      const path = join(layout.bundles, name);
      return { path, size: (await sizeOf(path)) ?? 0 };
    }),
  );
}

function ifMissing(error: unknown): undefined {
  if (!['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) throw error;
}
