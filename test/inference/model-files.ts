import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TensorLocation } from '../../src/weights/tensor.js';

/** The repository, from dist/test/inference. */
const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

export const TINY_CALYX = join(ROOT, 'models/tiny-calyx');

/** The directory of a fixture model. */
export function fixture(name: string): string {
  return join(ROOT, 'test/fixtures/models', name);
}

/** Every tensor of the .safetensors files in a directory, read without the code under test. */
export function tensorsIn(directory: string): TensorLocation[] {
  const tensors: TensorLocation[] = [];
  for (const file of readdirSync(directory).sort()) {
    if (!file.endsWith('.safetensors')) continue;
    const bytes = readFileSync(join(directory, file));
    const headerLength = Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerLength)) as Record<
      string,
      { dtype: string; shape: number[]; data_offsets: [number, number] }
    >;
    for (const [name, { dtype, shape, data_offsets: at }] of Object.entries(header)) {
      if (name === '__metadata__') continue;
      tensors.push({ file, name, dtype, shape, offset: 8 + headerLength + at[0], length: at[1] - at[0] });
    }
  }
  return tensors;
}

/** A golden.json: what transformers computed. */
export interface Golden {
  blocks: number;
  cases: {
    /** Token ids for the fixtures, text for tiny-calyx. */
    prompt: number[] | string;
    tokens?: number[];
    chat?: boolean;
    rendered?: string;
    text?: string;
    greedy: number[];
    last_logits: number[];
    hidden_mean_abs?: number[];
  }[];
}

/** Reads the golden outputs of a model. */
export function readGolden(directory: string): Golden {
  return JSON.parse(readText(directory, 'golden.json')) as Golden;
}

/** Reads a text file of a model. */
export function readText(directory: string, file: string): string {
  return readFileSync(join(directory, file), 'utf8');
}
