import type { Extent } from '../core/byte-range.js';
import type { ModelName } from '../core/names.js';
import { sizeOf } from '../storage/files/size-of.js';
import { ChunkPlaces, cutChunks } from './bundles/chunk-places.js';
import { fileCuts, type ManifestFile } from './manifest.js';
import type { StoreLayout } from './store-layout.js';

/** What a file's content is known by. */
export type FileContent = Pick<ManifestFile, 'size' | 'blob' | 'chunkDigests'>;

/** Tells which content a data directory has, as it was when it was first asked. Only looks at sizes; whether bytes are right is for `calyx verify`. */
export class KeptContent {
  readonly #layout: StoreLayout;
  #places: Promise<ChunkPlaces> | undefined;

  constructor(layout: StoreLayout) {
    this.#layout = layout;
  }

  /** True if the content of a file is there, as a plain file of the model or in bundles. */
  async has(model: ModelName, file: ManifestFile): Promise<boolean> {
    return this.hasCut(model, file, fileCuts(file));
  }

  /** @param cuts where the file is cut, as `fileCuts` tells */
  async hasCut(model: ModelName, file: FileContent, cuts: readonly Extent[]): Promise<boolean> {
    if ((await sizeOf(this.#layout.blob(model, file.blob))) === file.size) return true;
    this.#places ??= ChunkPlaces.read(this.#layout);
    const places = await this.#places;
    return cutChunks(file, cuts).every(({ digest }) => places.find(digest) !== undefined);
  }
}
