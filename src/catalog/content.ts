import type { BundledBlobs } from './bundles/bundled-blobs.js';
import { ChunkKeeper } from './bundles/chunk-keeper.js';
import type { DiskCatalog } from './catalog-reader.js';
import type { ContentKeeper, OnBlob } from './content-keeper.js';
import { readContentLayout } from './content-layout.js';
import { FileKeeper } from './file-keeper.js';
import { collectBundles, type BundleOptions } from './gc/collect-bundles.js';
import { neededManifests } from './gc/stray-records.js';
import type { StoreLayout } from './store-layout.js';

/** The content of a data directory, for its owner: kept in the way that is written down there. */
export class Content {
  readonly #layout: StoreLayout;
  readonly #catalog: DiskCatalog;
  readonly #blobs: BundledBlobs;
  readonly #onReplaced: OnBlob;

  /** @param onReplaced told of each blob, and each bundle, whose file was replaced or removed */
  constructor(layout: StoreLayout, catalog: DiskCatalog, blobs: BundledBlobs, onReplaced: OnBlob) {
    this.#layout = layout;
    this.#catalog = catalog;
    this.#blobs = blobs;
    this.#onReplaced = onReplaced;
  }

  /** Throws CalyxError `corrupt` if it cannot be told how content is kept. */
  async keeper(): Promise<ContentKeeper> {
    return (await readContentLayout(this.#layout)) === 'files'
      ? new FileKeeper(this.#layout, this.#onReplaced)
      : new ChunkKeeper(this.#layout, this.#blobs, this.#onReplaced);
  }

  /** For who collects bundles. */
  get bundles(): Pick<BundleOptions, 'blobs' | 'onRemoved'> {
    return { blobs: this.#blobs, onRemoved: async (bundle) => this.#onReplaced(bundle) };
  }

  /** Removes bundles that nothing needs after a model is gone. Returns the bytes that are free now; 0 if it cannot be told what is needed. */
  async free(): Promise<number> {
    const needed = await neededManifests(this.#layout);
    if (needed === undefined) return 0;
    const options = { ...this.bundles, needed, dryRun: false };
    const { bytes } = await collectBundles(this.#layout, this.#catalog, options);
    await this.#blobs.refresh(this.#catalog);
    return bytes;
  }
}
