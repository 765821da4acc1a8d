import type { CatalogReader } from '../../catalog/catalog-reader.js';
import type { FileTree } from '../../catalog/file-tree.js';
import { FilteredCatalog } from '../../catalog/filtered-catalog.js';
import { ShownContent, type ContentIndex } from '../../catalog/shown-content.js';
import { catalogTree } from '../../catalog/tree/catalog-tree.js';
import type { Grant } from '../../core/access.js';
import { Recent } from '../../core/recent.js';
import { showsAll, showsModel } from '../../core/shown-models.js';
import type { ContentView } from '../../protocols/http/content-routes.js';

/** What a grant shows of a store. */
export interface ModelView extends ContentView {
  readonly catalog: CatalogReader;
  readonly fileTree: FileTree;
}

/** Patterns whose view is kept; a store has at most about as many tokens. */
const KEPT_VIEWS = 1024;

/** The views of a catalog, one for each pattern of models, made when it is first asked for. */
export class ModelViews {
  readonly #catalog: CatalogReader & ContentIndex;
  readonly #views = new Recent<string, ModelView>(KEPT_VIEWS);
  readonly #all: ModelView;

  constructor(catalog: CatalogReader & ContentIndex) {
    this.#catalog = catalog;
    this.#all = viewOf(catalog, catalog);
  }

  /** What a grant shows; the same for the same pattern. */
  of(grant: Pick<Grant, 'models'>): ModelView {
    if (showsAll(grant)) return this.#all;
    let view = this.#views.get(grant.models);
    if (view === undefined) {
      const shown = new FilteredCatalog(this.#catalog, (model) => showsModel(grant, model));
      view = viewOf(shown, new ShownContent(this.#catalog, shown));
      this.#views.set(grant.models, view);
    }
    return view;
  }
}

function viewOf(
  catalog: CatalogReader,
  content: Pick<ContentIndex, 'manifestBytes' | 'blobSize'>,
): ModelView {
  const fileTree = catalogTree(catalog);
  return {
    catalog,
    fileTree,
    tree: fileTree.root,
    manifestBytes: (digest) => content.manifestBytes(digest),
    blobSize: (blob) => content.blobSize(blob),
  };
}
