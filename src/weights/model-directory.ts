import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CalyxError, fileError, isCalyxError } from '../core/errors.js';
import { parseFilePath } from '../core/names.js';
import { parseStrictJson } from '../core/strict-json.js';
import { mapBlocks, type BlockMap } from './block-map.js';
import { NO_CONFIG, parseModelConfig, type ModelConfig } from './model-config.js';
import { isGgufFile } from './gguf/gguf-file.js';
import type { GgufMetadata } from './gguf/gguf-metadata.js';
import { findGguf, readGgufModel } from './gguf/gguf-model.js';
import type { WeightFormat } from './parts.js';
import { readSafetensorsFile, type SafetensorsFile } from './safetensors-file.js';
import type { TensorLocation } from './tensor.js';

/** A weight file of a model, by its path relative to the model's directory. */
export interface Shard extends SafetensorsFile {
  readonly path: string;
  /** What parts carry of the metadata, in the first file of a GGUF model. */
  readonly gguf?: GgufMetadata;
}

/** The weights of a model on a disk: read from headers only. */
export interface ModelWeights {
  readonly format: WeightFormat;
  readonly config: ModelConfig;
  /** Ascending by path. */
  readonly shards: readonly Shard[];
  /** All tensors: shard by shard, ascending by offset in each. */
  readonly tensors: readonly TensorLocation[];
  readonly map: BlockMap;
}

export const INDEX_FILE = 'model.safetensors.index.json';
const SINGLE_FILE = 'model.safetensors';

/** Far above real ones (a few MiB); an index is read whole. */
const MAX_JSON_BYTES = 256 * 1024 * 1024;

/** Headers that are read at the same time. */
const PARALLEL_READS = 8;

/**
 * Reads what is inside a model: a directory with `config.json` and `model.safetensors`, or with an index and shards; or
 * a single safetensors file; or a GGUF file, alone or in a directory that has no safetensors weights.
 *
 * @throws CalyxError `not-found`, `unreadable`, `unsupported` (no weights of these forms, no decoder blocks) or
 * `invalid-model` naming the file and the tensor
 */
export async function readModel(path: string): Promise<ModelWeights> {
  const info = await stat(path).catch((error: unknown) => {
    throw fileError(error, 'cannot read', path);
  });
  if (!info.isDirectory()) {
    if (path.endsWith('.gguf') || (await isGgufFile(path))) return readGgufModel(path);
    return assemble(path, NO_CONFIG, [{ path: path, ...(await readSafetensorsFile(path)) }], undefined);
  }
  const names = await readdir(path).catch((error: unknown) => {
    throw fileError(error, 'cannot read', path);
  });
  if (!names.some((name) => name === INDEX_FILE || name.endsWith('.safetensors'))) {
    const gguf = await findGguf(names, path);
    if (gguf !== undefined) return readGgufModel(join(path, gguf), path);
  }
  const config = names.includes('config.json')
    ? parseModelConfig(await readText(join(path, 'config.json')), join(path, 'config.json'))
    : NO_CONFIG;
  const index = names.includes(INDEX_FILE)
    ? parseIndex(await readText(join(path, INDEX_FILE)), join(path, INDEX_FILE))
    : undefined;
  const files = index === undefined ? singleFile(names, path) : [...new Set(index.values())].sort();
  const shards: Shard[] = [];
  for (let next = 0; next < files.length; next += PARALLEL_READS) {
    const group = files.slice(next, next + PARALLEL_READS);
    shards.push(...(await Promise.all(group.map((file) => readShard(path, file, index !== undefined)))));
  }
  return assemble(path, config, shards, index);
}

/** Reads an index: tensor name -> shard path. Throws CalyxError `invalid-model`. */
export function parseIndex(text: string, file: string): Map<string, string> {
  const root = parseStrictJson(text, file);
  const map = root instanceof Map ? root.get('weight_map') : undefined;
  if (!(map instanceof Map) || map.size === 0) {
    throw new CalyxError('invalid-model', `${file}: it has no weight_map`, {
      hint: 'download the index again',
    });
  }
  const index = new Map<string, string>();
  for (const [tensor, shard] of map) {
    if (typeof shard !== 'string') {
      throw new CalyxError('invalid-model', `${file}: the shard of ${JSON.stringify(tensor)} is not a name`);
    }
    try {
      parseFilePath(shard);
    } catch (error) {
      throw new CalyxError(
        'invalid-model',
        `${file}: the tensor ${JSON.stringify(tensor)} is said to be in ${JSON.stringify(shard.slice(0, 200))}, ` +
          'which is not a path inside the model',
        { hint: 'download the index again', cause: error },
      );
    }
    index.set(tensor, shard);
  }
  return index;
}

async function readShard(directory: string, file: string, indexed: boolean): Promise<Shard> {
  try {
    return { path: file, ...(await readSafetensorsFile(join(directory, file))) };
  } catch (error) {
    if (!indexed || !isCalyxError(error, 'not-found')) throw error;
    throw new CalyxError(
      'invalid-model',
      `${join(directory, INDEX_FILE)} names the shard ${file}, which is missing`,
      {
        hint: 'finish the download of the model',
        cause: error,
      },
    );
  }
}

function singleFile(names: readonly string[], path: string): string[] {
  if (names.includes(SINGLE_FILE)) return [SINGLE_FILE];
  const candidates = names.filter((name) => name.endsWith('.safetensors'));
  if (candidates.length === 1) return candidates;
  if (candidates.length > 1) {
    throw new CalyxError(
      'invalid-model',
      `${path} has ${candidates.length} safetensors files but no ${INDEX_FILE}`,
      {
        hint: 'finish the download of the model; the index tells which tensor is in which file',
      },
    );
  }
  if (names.some((name) => /^(?:pytorch_model|model|consolidated).*\.(?:bin|pt|pth)$/.test(name))) {
    throw new CalyxError(
      'unsupported',
      `${path} has its weights only as PyTorch pickles (.bin), which cannot be cut into blocks`,
      {
        hint:
          'convert them once: python -c "from transformers import AutoModelForCausalLM as M; ' +
          `M.from_pretrained('${path}', dtype='auto').save_pretrained('${path}-safetensors')" ` +
          'and copy the tokenizer files beside them',
      },
    );
  }
  throw new CalyxError('not-found', `${path} has no safetensors weights`, {
    hint: `give a model directory with ${SINGLE_FILE}, or with ${INDEX_FILE} and its shards, or with a GGUF file`,
  });
}

function assemble(
  path: string,
  config: ModelConfig,
  shards: readonly Shard[],
  index?: Map<string, string>,
): ModelWeights {
  const tensors: TensorLocation[] = [];
  const home = new Map<string, string>();
  for (const shard of shards) {
    for (const tensor of shard.tensors) {
      const other = home.get(tensor.name);
      if (other !== undefined && !sharedAcrossParts(index, tensor.name, shard.path, other)) {
        throw new CalyxError(
          'invalid-model',
          `${path}: the tensor ${JSON.stringify(tensor.name)} is in ${other} and in ${shard.path}`,
          {
            hint: 'old shards may lie beside new ones; download the model into an empty directory',
          },
        );
      }
      if (other !== undefined) continue;
      home.set(tensor.name, shard.path);
      tensors.push({ ...tensor, file: shard.path });
    }
  }
  for (const [tensor, shard] of index ?? []) {
    if (home.get(tensor) !== shard) {
      throw new CalyxError(
        'invalid-model',
        `${join(path, INDEX_FILE)} names the tensor ${JSON.stringify(tensor)} in ${shard}, which does not have it`,
        { hint: 'the index and the shards are of different versions; download the model again' },
      );
    }
  }
  return { format: 'safetensors', config, shards, tensors, map: mapBlocks(tensors, config, path) };
}

/** In a slice of a model with a tied head, the embedding table stands in two parts; the index names the first. */
function sharedAcrossParts(
  index: Map<string, string> | undefined,
  tensor: string,
  here: string,
  other: string,
): boolean {
  return index?.get(tensor) === other && other === 'embed.safetensors' && here === 'head.safetensors';
}

async function readText(path: string): Promise<string> {
  try {
    const info = await stat(path);
    if (!info.isFile()) throw new CalyxError('invalid-model', `${path} is not a regular file`);
    if (info.size > MAX_JSON_BYTES) {
      throw new CalyxError(
        'invalid-model',
        `${path} has ${info.size} bytes, too many for a JSON file of a model`,
      );
    }
    return await readFile(path, 'utf8');
  } catch (error) {
    throw fileError(error, 'cannot read', path);
  }
}
