import { readFile } from 'node:fs/promises';
import type { Extent } from '../../core/byte-range.js';
import { ChunkLayout } from '../../core/chunking.js';
import { DIGEST_BYTES, isDigest, type Digest } from '../../core/digest.js';
import { isCalyxError, systemCode } from '../../core/errors.js';
import {
  decodeBundleIndex,
  type BundledChunk,
  type BundleIndex,
} from '../../storage/bundles/bundle-index.js';
import { sizeOf } from '../../storage/files/size-of.js';
import type { BundleRun } from '../../storage/sources/bundle-source.js';
import { listNames } from '../catalog-reader.js';
import { fileCuts, type Manifest, type ManifestFile } from '../manifest.js';
import type { StoreLayout } from '../store-layout.js';

/** A chunk's place: the bundle, and the how manyth chunk of it. */
export interface ChunkPlace {
  readonly bundle: BundleIndex;
  readonly index: number;
}

/** Where chunks lie. */
export class ChunkPlaces {
  readonly #bundles: BundleIndex[] = [];
  readonly #first = new Map<Digest, ChunkPlace>();

  /** Reads the indexes of all bundles that are whole. */
  static async read(layout: StoreLayout): Promise<ChunkPlaces> {
    const places = new ChunkPlaces();
    for (const id of await bundleIds(layout)) {
      const index = await readBundleIndex(layout, id);
      if (index !== undefined) places.add(index);
    }
    return places;
  }

  get bundles(): readonly BundleIndex[] {
    return this.#bundles;
  }

  /** Of equal chunks the first that was added counts. */
  add(bundle: BundleIndex): void {
    this.#bundles.push(bundle);
    bundle.chunks.forEach(({ digest }, index) => {
      if (!this.#first.has(digest)) this.#first.set(digest, { bundle, index });
    });
  }

  find(digest: Digest): ChunkPlace | undefined {
    return this.#first.get(digest);
  }

  /** Where the bytes of a file lie; undefined if a chunk of it is in no bundle. */
  runs(chunks: readonly BundledChunk[]): BundleRun[] | undefined {
    const runs: BundleRun[] = [];
    let last: ChunkPlace | undefined;
    let position = 0;
    for (const { digest, length } of chunks) {
      // A chunk that goes on where the last one ended makes no new run.
      const next = last === undefined ? undefined : { bundle: last.bundle, index: last.index + 1 };
      const place: ChunkPlace | undefined =
        next?.bundle.chunks[next.index]?.digest === digest ? next : this.#first.get(digest);
      if (place === undefined) return undefined;
      const offset = place.bundle.offsets[place.index] ?? 0;
      const run = runs.at(-1);
      if (run !== undefined && place === next) runs[runs.length - 1] = { ...run, end: position + length };
      else runs.push({ start: position, end: position + length, bundle: place.bundle.id, offset });
      position += length;
      last = place;
    }
    return runs;
  }
}

/**
 * The chunks of a file, in order.
 *
 * @param cuts where the file is cut, as `fileCuts` tells
 */
export function cutChunks(
  { size, chunkDigests }: Pick<ManifestFile, 'size' | 'chunkDigests'>,
  cuts: readonly Extent[],
): BundledChunk[] {
  const layout = ChunkLayout.of(size, cuts);
  const digests = Buffer.from(chunkDigests.buffer, chunkDigests.byteOffset, chunkDigests.byteLength);
  return Array.from({ length: layout.count }, (_, index) => ({
    digest: digests.toString('hex', index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES),
    length: layout.extent(index).length,
  }));
}

/** The chunks of a file of a manifest, in order. */
export function chunksOfFile(file: ManifestFile): BundledChunk[] {
  return cutChunks(file, fileCuts(file));
}

/** The files of a manifest, those of equal content once: as they are cut in bundles. */
export function filesByContent(manifest: Manifest): ManifestFile[] {
  const blobs = new Set(manifest.files.map(({ blob }) => blob));
  return [...blobs].flatMap((blob) => manifest.fileOfBlob(blob) ?? []);
}

/** The bundles of which there is an index, in order. */
export async function bundleIds(layout: StoreLayout): Promise<Digest[]> {
  const names = (await listNames(layout.bundles)).filter((name) => name.endsWith('.index'));
  return names.map((name) => name.slice(0, -'.index'.length)).filter(isDigest).sort();
} // prettier-ignore

/** Undefined for a bundle that is not whole: its index or its chunks are missing or cut off. */
export async function readBundleIndex(layout: StoreLayout, id: Digest): Promise<BundleIndex | undefined> {
  try {
    const index = decodeBundleIndex(await readFile(layout.bundleIndex(id)), id);
    return (await sizeOf(layout.bundle(id))) === index.offsets.at(-1) ? index : undefined;
  } catch (error) {
    if (isCalyxError(error, 'corrupt') || systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
