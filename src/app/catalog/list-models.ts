import { resolve } from 'node:path';
import { isCalyxError } from '../../core/errors.js';
import { DEFAULT_REF, formatModelName, type ModelName } from '../../core/names.js';
import { DiskCatalog, unknownModel } from '../../catalog/catalog-reader.js';
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

/** A model whose records cannot be read. */
export interface DamagedModel {
  readonly model: string;
  readonly error: string;
}

/** The models in a store's data directory, by name; one that is damaged does not hide the others. */
export async function listModels(
  dataDirectory: string,
  only?: ModelName,
): Promise<(ModelSummary | DamagedModel)[]> {
  const catalog = new DiskCatalog(new StoreLayout(resolve(dataDirectory)));
  const summaries: (ModelSummary | DamagedModel)[] = [];
  for (const model of await chosenModels(catalog, only)) {
    try {
      summaries.push(await summarize(catalog, model));
    } catch (error) {
      if (!isCalyxError(error, 'corrupt', 'unreadable', 'not-found')) throw error;
      summaries.push({ model: formatModelName(model), error: error.message });
    }
  }
  return summaries;
}

/** One model, or all. Throws CalyxError `not-found` if that one is not there. */
export async function chosenModels(catalog: DiskCatalog, only: ModelName | undefined): Promise<ModelName[]> {
  const all = await catalog.models();
  if (only === undefined) return all;
  const name = formatModelName(only);
  if (!all.some((model) => formatModelName(model) === name)) throw unknownModel(only, all);
  return [only];
}

async function summarize(catalog: DiskCatalog, model: ModelName): Promise<ModelSummary> {
  const { revision, manifest } = await catalog.resolve({ model, revision: DEFAULT_REF });
  const generation = (await catalog.refs(model)).get(DEFAULT_REF)?.generation ?? 0;
  const { blockCount: blocks, totalBytes: bytes } = manifest;
  const files = manifest.files.length;
  return { model: formatModelName(model), revision, generation, blocks, files, bytes };
}
