import type { Digest } from '../../core/digest.js';
import { formatModelName, type ModelName } from '../../core/names.js';
import type { BundleRun } from '../../storage/sources/bundle-source.js';
import type { BlobsElsewhere, DiskCatalog } from '../catalog-reader.js';
import type { Manifest } from '../manifest.js';
import { recordedManifests } from '../recorded-manifests.js';
import type { StoreLayout } from '../store-layout.js';
import { bundleIds, ChunkPlaces, chunksOfFile, filesByContent } from './chunk-places.js';

interface Known {
  readonly runs: Map<Digest, readonly BundleRun[]>;
  /** Which model has which blobs. */
  readonly models: Map<string, Set<Digest>>;
}

/** Which blobs lie in bundles, and where. Kept in memory: one entry for each run of adjacent chunks. */
export class BundledBlobs implements BlobsElsewhere {
  readonly #layout: StoreLayout;
  #known: Known = { runs: new Map(), models: new Map() };

  constructor(layout: StoreLayout) {
    this.#layout = layout;
  }

  /** Looks at all bundles and all manifests again. What it knew counts until it knows better. */
  async refresh(catalog: Pick<DiskCatalog, 'manifestBytes'>): Promise<void> {
    const known: Known = { runs: new Map(), models: new Map() };
    if ((await bundleIds(this.#layout)).length > 0) {
      const places = await ChunkPlaces.read(this.#layout);
      for await (const { model, content } of recordedManifests(this.#layout, catalog))
        learn(known, places, model, content);
    }
    this.#known = known;
  }

  /** Also knows the blobs of a model that is about to be published. */
  learn(places: ChunkPlaces, model: ModelName, manifest: Manifest): void {
    learn(this.#known, places, model, manifest);
  }

  has(blob: Digest): boolean {
    return this.#known.runs.has(blob);
  }

  holds(model: ModelName, blob: Digest): boolean {
    return this.#known.models.get(formatModelName(model))?.has(blob) === true;
  }

  size(blob: Digest): number | undefined {
    const runs = this.#known.runs.get(blob);
    return runs === undefined ? undefined : (runs.at(-1)?.end ?? 0);
  }

  /** A `RunsOf`. */
  runs(blob: Digest): readonly BundleRun[] | undefined {
    return this.#known.runs.get(blob);
  }
}

function learn(known: Known, places: ChunkPlaces, model: ModelName, manifest: Manifest): void {
  const name = formatModelName(model);
  const own = known.models.get(name) ?? new Set();
  known.models.set(name, own);
  for (const file of filesByContent(manifest)) {
    const runs = known.runs.get(file.blob) ?? places.runs(chunksOfFile(file));
    if (runs === undefined) continue;
    known.runs.set(file.blob, runs);
    own.add(file.blob);
  }
}
