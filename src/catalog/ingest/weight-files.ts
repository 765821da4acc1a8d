import type { ModelWeights } from '../../weights/model-directory.js';
import type { Tensor } from '../../weights/tensor.js';
import type { ManifestFile } from '../manifest.js';

/** What a manifest says of the inside of a weight file. */
export type WeightFile = Pick<ManifestFile, 'tensors' | 'gguf'>;

/** Of a file that holds none. */
export const NO_WEIGHTS: WeightFile = { tensors: [] };

/** What is inside the weight files of a model, by their paths. */
export function weightFiles(weights: ModelWeights): ReadonlyMap<string, WeightFile> {
  const tensors = new Map<string, Tensor[]>(weights.shards.map(({ path }) => [path, []]));
  for (const { file, name, dtype, shape, offset, length } of weights.tensors)
    tensors.get(file)?.push({ name, dtype, shape, offset, length });
  return new Map(
    weights.shards.map(({ path, gguf }) => [
      path,
      { tensors: tensors.get(path) ?? [], ...(gguf === undefined ? {} : { gguf }) },
    ]),
  );
}
