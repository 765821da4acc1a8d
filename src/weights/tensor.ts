import type { Extent } from '../core/byte-range.js';

/** A named array in a weight file. The extent is absolute in that file. */
export interface Tensor extends Extent {
  readonly name: string;
  /** As safetensors writes it: `BF16`, `F32`, ... */
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** A tensor and the weight file that holds it, as a path relative to the model's (or slice's) directory. */
export interface TensorLocation extends Tensor {
  readonly file: string;
}
