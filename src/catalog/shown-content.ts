import type { Digest } from '../core/digest.js';
import { CalyxError } from '../core/errors.js';
import type { ModelName } from '../core/names.js';
import { Recent } from '../core/recent.js';
import type { CatalogReader } from './catalog-reader.js';

/** Where content is found by its digest; {@link DiskCatalog} is one. */
export interface ContentIndex {
  manifestBytes(digest: Digest): Promise<Uint8Array>;
  blobSize(blob: Digest): Promise<number | undefined>;
  hasBlob(model: ModelName, blob: Digest): Promise<boolean>;
  hasManifest(model: ModelName, digest: Digest): Promise<boolean>;
}

/** Digests of which it is remembered which model has them. */
const KEPT_DIGESTS = 4096;

/** Blobs and manifests of the models that a catalog shows; those that only others have do not exist. */
export class ShownContent implements Pick<ContentIndex, 'manifestBytes' | 'blobSize'> {
  readonly #index: ContentIndex;
  readonly #catalog: CatalogReader;
  // Hints where to look first, never believed: a model may be removed, and come back with other content.
  readonly #holders = new Recent<Digest, ModelName>(KEPT_DIGESTS);

  /** @param catalog only its models count */
  constructor(index: ContentIndex, catalog: CatalogReader) {
    this.#index = index;
    this.#catalog = catalog;
  }

  async manifestBytes(digest: Digest): Promise<Uint8Array> {
    if (await this.#shows(digest, (model) => this.#index.hasManifest(model, digest)))
      return this.#index.manifestBytes(digest);
    // In the same words as for one that no model has.
    throw new CalyxError('not-found', `the store has no manifest ${digest.slice(0, 100)}`);
  }

  async blobSize(blob: Digest): Promise<number | undefined> {
    const shown = await this.#shows(blob, (model) => this.#index.hasBlob(model, blob));
    return shown ? this.#index.blobSize(blob) : undefined;
  }

  async #shows(digest: Digest, has: (model: ModelName) => Promise<boolean>): Promise<boolean> {
    const holder = this.#holders.get(digest);
    if (holder !== undefined && (await has(holder))) return true;
    this.#holders.delete(digest);
    for (const model of await this.#catalog.models()) {
      if (!(await has(model))) continue;
      this.#holders.set(digest, model);
      return true;
    }
    return false;
  }
}
