import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CheckpointSpec, TensorSpec } from './checkpoint.js';
import { manyName, type NfsFiles } from './nfs-cases.js';
import type { Workspace } from './workspace.js';

const FILE = 'model-00001-of-00001.safetensors';
const DIRECTORY = 'files';
const ENTRIES = 10_000;

/** A model with one file of 1 GiB of random bytes, and a directory of 10,000 small files. */
export async function nfsModel(workspace: Workspace): Promise<NfsFiles & { readonly path: string }> {
  const path = await workspace.checkpoint('nfs-model', oneLargeTensor);
  const directory = join(path, DIRECTORY);
  await mkdir(directory, { recursive: true });
  // A run that was broken off may have left some.
  if ((await readdir(directory)).length < ENTRIES) {
    for (let index = 1; index <= ENTRIES; index += 1)
      await writeFile(join(directory, manyName(index)), `${index}\n`);
  }
  const { size: bytes } = await stat(join(path, FILE));
  return { path, file: FILE, bytes, directory: DIRECTORY, entries: ENTRIES };
}

function oneLargeTensor(onBytes: (bytes: number) => void): CheckpointSpec {
  const u8 = (name: string, ...shape: number[]): TensorSpec => ({ name, dtype: 'U8', shape });
  return {
    config: { model_type: 'llama', architectures: ['LlamaForCausalLM'], num_hidden_layers: 1 },
    tensors: [
      u8('model.embed_tokens.weight', 1),
      u8('model.layers.0.mlp.up_proj.weight', 32_768, 32_768),
      u8('model.norm.weight', 1),
      u8('lm_head.weight', 1),
    ],
    shardBytes: 2 ** 31,
    fill: 'random',
    onBytes,
  };
}
