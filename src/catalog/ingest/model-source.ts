import { CalyxError } from '../../core/errors.js';
import { checkComplete } from '../../weights/block-map.js';
import { readModel, type ModelWeights } from '../../weights/model-directory.js';
import { scanDirectory, type SourceFile } from './scan.js';

/** A model's directory as a listing and the headers of its weights tell it. */
export interface ModelSource {
  readonly files: readonly SourceFile[];
  readonly weights: ModelWeights;
}

/**
 * Lists a model's directory and reads the headers of its weights.
 *
 * @param wanted tells which of its files are taken
 * @throws CalyxError as `scanDirectory` and `readModel` do, `invalid-model` if the model is not complete, `unsupported` if
 * the index names a shard that the listing passes over
 */
export async function readModelSource(
  directory: string,
  wanted: (path: string) => boolean = () => true,
): Promise<ModelSource> {
  const files = (await scanDirectory(directory)).filter(({ path }) => wanted(path));
  const weights = await readModel(directory);
  checkComplete(weights.map, directory);
  const found = new Set(files.map(({ path }) => path));
  const hidden = weights.shards.find(({ path }) => !found.has(path));
  if (hidden !== undefined) {
    throw new CalyxError('unsupported', `${directory}: the shard ${hidden.path} is hidden or left out`, {
      hint: "no part of its path may begin with '.', and no pattern may leave it out",
    });
  }
  return { files, weights };
}
