import { join, resolve } from 'node:path';
import { isCalyxError } from '../../core/errors.js';
import { DEFAULT_REF, formatModelName, type ModelName } from '../../core/names.js';
import { DiskCatalog, unknownModel } from '../../catalog/catalog-reader.js';
import { StoreLayout } from '../../catalog/store-layout.js';
import { formatSize } from '../../core/units.js';
import { readOriginReport } from '../origin/origin-state.js';

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

/** A model in the store's bucket that is not served yet, or cannot be. */
export interface AwaitedModel {
  readonly model: string;
  /** Why it is not, or how far the reading for its manifest is. */
  readonly state: string;
}

/** The models of the bucket that the directory's store has told of last and does not show. */
export async function awaitedModels(dataDirectory: string, only?: ModelName): Promise<AwaitedModel[]> {
  const layout = new StoreLayout(resolve(dataDirectory));
  const report = await readOriginReport(join(layout.origin, 'state.json'));
  const awaited: AwaitedModel[] = [];
  for (const { model, state, doneBytes = 0, totalBytes = 0, problem } of report?.models ?? []) {
    if (only !== undefined && model !== formatModelName(only)) continue;
    if (state === 'failed') awaited.push({ model, state: problem ?? 'it failed' });
    if (state === 'found') awaited.push({ model, state: 'found in the bucket' });
    if (state === 'preparing')
      awaited.push({
        model,
        state: `being read for its manifest: ${formatSize(doneBytes)} of ${formatSize(totalBytes)}`,
      });
  }
  return awaited;
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
