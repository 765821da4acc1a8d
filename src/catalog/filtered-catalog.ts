import { isCalyxError } from '../core/errors.js';
import type { ModelName, ModelSpec } from '../core/names.js';
import { unknownModel, type CatalogReader, type Ref, type ResolvedRevision } from './catalog-reader.js';

/** A layer over a catalog that shows only some of its models; the others do not exist for who asks. */
export class FilteredCatalog implements CatalogReader {
  readonly #inner: CatalogReader;
  readonly #shown: (model: ModelName) => boolean;
  readonly #lists = new WeakMap<readonly ModelName[], ModelName[]>();

  constructor(inner: CatalogReader, shown: (model: ModelName) => boolean) {
    this.#inner = inner;
    this.#shown = shown;
  }

  async models(): Promise<ModelName[]> {
    const all = await this.#inner.models();
    // The same list for the same list, so that what is derived from it can be kept.
    let shown = this.#lists.get(all);
    if (shown === undefined) {
      shown = all.filter(this.#shown);
      this.#lists.set(all, shown);
    }
    return shown;
  }

  async refs(model: ModelName): Promise<Map<string, Ref>> {
    return this.#shown(model) ? this.#inner.refs(model) : new Map<string, Ref>();
  }

  async revisions(model: ModelName): Promise<string[]> {
    return this.#shown(model) ? this.#inner.revisions(model) : [];
  }

  async resolve(spec: ModelSpec): Promise<ResolvedRevision> {
    try {
      if (this.#shown(spec.model)) return await this.#inner.resolve(spec);
    } catch (error) {
      if (!isCalyxError(error, 'not-found') || (await this.refs(spec.model)).size > 0) throw error;
    }
    // In the same words whether it is hidden or not there, and without the names of those that are hidden.
    throw unknownModel(spec.model, await this.models());
  }
}
