import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CalyxError, fileError } from '../../core/errors.js';
import { checkComplete } from '../../weights/block-map.js';
import { readModel, type ModelWeights } from '../../weights/model-directory.js';
import { scanDirectory, scanFiles, type SourceFile } from './scan.js';

/** A model's directory as a listing and the headers of its weights tell it. */
export interface ModelSource {
  readonly files: readonly SourceFile[];
  readonly weights: ModelWeights;
}

/**
 * Lists a model's directory and reads the headers of its weights. A GGUF file is a model too, with the others over which it is split.
 *
 * @param wanted tells which of its files are taken
 * @throws CalyxError as `scanDirectory` and `readModel` do, `invalid-model` if the model is not complete, `unsupported` if
 * the index names a shard that the listing passes over
 */
export async function readModelSource(
  directory: string,
  wanted: (path: string) => boolean = () => true,
): Promise<ModelSource> {
  const info = await stat(directory).catch((error: unknown) => {
    throw fileError(error, 'cannot read', directory);
  });
  if (!info.isDirectory()) return readFileSource(directory);
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

async function readFileSource(path: string): Promise<ModelSource> {
  const weights = await readModel(path);
  if (weights.format !== 'gguf') {
    throw new CalyxError('unsupported', `${path} is one file of a model`, {
      hint: `give its directory: ${dirname(path)}; only a GGUF file is a model by itself`,
    });
  }
  checkComplete(weights.map, path);
  const files = await scanFiles(
    dirname(path),
    weights.shards.map((shard) => shard.path),
  );
  return { files, weights };
}
