import { resolve } from 'node:path';
import { DEFAULT_REF, formatModelName } from '../../core/names.js';
import { DiskCatalog } from '../../catalog/catalog-reader.js';
import { StoreLayout } from '../../catalog/store-layout.js';

/** A published model, as its ref `main` shows it. */
export interface ModelSummary {
  readonly model: string;
  readonly revision: string;
  readonly generation: number;
  readonly blocks: number;
  readonly files: number;
  readonly bytes: number;
}

/** The models in a store's data directory, by name. */
export async function listModels(dataDirectory: string): Promise<ModelSummary[]> {
  const catalog = new DiskCatalog(new StoreLayout(resolve(dataDirectory)));
  const summaries: ModelSummary[] = [];
  for (const model of await catalog.models()) {
    const { revision, manifest } = await catalog.resolve({ model, revision: DEFAULT_REF });
    const generation = (await catalog.refs(model)).get(DEFAULT_REF)?.generation ?? 0;
    const { blockCount: blocks, totalBytes: bytes } = manifest;
    summaries.push({
      model: formatModelName(model),
      revision,
      generation,
      blocks,
      files: manifest.files.length,
      bytes,
    });
  }
  return summaries;
}
