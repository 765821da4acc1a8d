import { readdir } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { CalyxError, isCalyxError } from '../../core/errors.js';
import type { ModelConfig } from '../model-config.js';
import type { ModelWeights, Shard } from '../model-directory.js';
import { partOfFile } from '../parts.js';
import type { TensorLocation } from '../tensor.js';
import { mapGgufBlocks } from './gguf-block-map.js';
import { invalidGguf, quoted } from './gguf-error.js';
import { readGgufFile, type GgufFile } from './gguf-file.js';

/** A model that is split over files: PREFIX-00001-of-00003.gguf. */
const SPLIT_NAME = /^(.*-)(\d{5})-of-(\d{5})\.gguf$/;
/** Far more than any model has. */
const MAX_SPLITS = 10_000;
/** Far more than a model has; names of files among them cost a failed look. */
const MAX_DIRECTORIES = 1000;
/** Projectors of other senses lie beside models that have them; they are files of their own. */
const COMPANION = /^mmproj/i;

/**
 * Reads a model that is one GGUF file, or is split over several.
 *
 * @param path the file; of a model that is split any of them
 * @param directory of the model, to which the paths of shards are relative
 * @throws CalyxError `invalid-model`, `unsupported`, `not-found`, `unreadable`
 */
export async function readGgufModel(path: string, directory = dirname(path)): Promise<ModelWeights> {
  const name = basename(path);
  const shown = (file: string): string => relative(directory, join(dirname(path), file));
  const given = await readGgufFile(path);
  const count = pair(given, 'split.count');
  if (count === undefined || count === 0 || count === 1) return assemble(path, [[shown(name), given]]);
  const match = SPLIT_NAME.exec(name);
  if (typeof count !== 'number' || count > MAX_SPLITS || match === null || Number(match[3]) !== count)
    throw invalidGguf(
      path,
      `it is one of ${String(count)} files of a model, but is not named like one (NAME-00001-of-00003.gguf)`,
    );
  const shards: [string, GgufFile][] = [];
  for (let index = 0; index < count; index += 1) {
    const shard = `${match[1] ?? ''}${String(index + 1).padStart(5, '0')}-of-${match[3] ?? ''}.gguf`;
    const file = shard === name ? given : await readSplit(path, join(dirname(path), shard));
    if (pair(file, 'split.no') !== index || pair(file, 'split.count') !== count)
      throw invalidGguf(
        join(dirname(path), shard),
        `it does not say that it is number ${index + 1} of ${count} files of a model`,
      );
    shards.push([shown(shard), file]);
  }
  const expected = pair(given, 'split.tensors.count');
  const found = shards.reduce((sum, [, { tensors }]) => sum + tensors.length, 0);
  if (expected !== undefined && expected !== found)
    throw invalidGguf(
      path,
      `the ${count} files of the model have ${found} tensors, not the ${String(expected)} that they claim`,
    );
  return assemble(path, shards);
}

/**
 * Finds the GGUF model in a directory; where none lies in the directory itself, in those directly below it, for repositories of
 * several quantisations have a directory for each that is split.
 *
 * @param names of what lies in the directory
 * @returns one of its files, relative to the directory, or undefined if there is none
 * @throws CalyxError `unsupported` if there are several models
 */
export async function findGguf(names: readonly string[], directory: string): Promise<string | undefined> {
  const here = ggufFiles(names);
  if (here.length > 0) return oneModel(here, directory);
  const below: string[] = [];
  for (const name of names.filter((each) => !each.startsWith('.')).slice(0, MAX_DIRECTORIES)) {
    const entries = await readdir(join(directory, name)).catch(() => [] as string[]);
    below.push(...ggufFiles(entries).map((entry) => join(name, entry)));
  }
  return oneModel(below, directory);
}

function ggufFiles(names: readonly string[]): string[] {
  return names.filter((name) => name.endsWith('.gguf') && !COMPANION.test(name));
}

function oneModel(names: readonly string[], directory: string): string | undefined {
  const files = [...names].sort();
  const models = new Map(files.map((name) => [name.replace(SPLIT_NAME, '$1*-of-$3.gguf'), name]));
  if (models.size <= 1) return files[0];
  if (files.every((name) => partOfFile(name, 'gguf') !== undefined)) {
    throw new CalyxError('unsupported', `${directory} is a slice of a GGUF model, not a model`, {
      hint: `each of its parts is a GGUF file: ${join(directory, files[0] ?? '')}`,
    });
  }
  throw new CalyxError('unsupported', `${directory} holds ${models.size} GGUF models`, {
    hint: `name one of them: ${[...models.values()]
      .slice(0, 3)
      .map((name) => join(directory, name))
      .join(', ')}${models.size > 3 ? ', ...' : ''}`,
  });
}

async function readSplit(given: string, path: string): Promise<GgufFile> {
  return readGgufFile(path).catch((error: unknown) => {
    if (!isCalyxError(error, 'not-found')) throw error;
    throw new CalyxError(
      'invalid-model',
      `${given} is split over several files, of which ${path} is missing`,
      {
        hint: 'finish the download of the model',
        cause: error,
      },
    );
  });
}

function assemble(path: string, files: readonly (readonly [name: string, GgufFile])[]): ModelWeights {
  const [first] = files;
  if (first === undefined) throw new Error('a model has files');
  const main = first[1];
  const type = pair(main, 'general.type');
  if (typeof type === 'string' && type !== 'model')
    throw new CalyxError('unsupported', `${path}: it is no model, but of the type ${quoted(type)}`, {
      hint: 'give the GGUF file of the model itself',
    });
  const architecture = pair(main, 'general.architecture');
  if (typeof architecture !== 'string') throw invalidGguf(path, 'its metadata has no general.architecture');
  const tensors: TensorLocation[] = [];
  const homes = new Map<string, string>();
  for (const [file, { tensors: own }] of files) {
    for (const tensor of own) {
      const other = homes.get(tensor.name);
      if (other !== undefined)
        throw invalidGguf(path, `the tensor ${quoted(tensor.name)} is in ${other} and in ${file}`);
      homes.set(tensor.name, file);
      tensors.push({ ...tensor, file });
    }
  }
  const claimed = pair(main, `${architecture}.block_count`);
  if (claimed !== undefined && (typeof claimed !== 'number' || !Number.isSafeInteger(claimed) || claimed < 1))
    throw invalidGguf(path, `its ${architecture}.block_count is ${String(claimed)}`);
  const map = mapGgufBlocks(tensors, claimed, path);
  const config: ModelConfig = {
    modelType: architecture,
    blockCount: map.blockCount,
    tiedHead: !homes.has('output.weight'),
  };
  const shards = files.map(([file, { size, tensors: own }], index): Shard => ({
    path: file,
    size,
    tensors: own,
    ...(index === 0 ? { gguf: main.metadata } : {}),
  }));
  return { format: 'gguf', config, shards, tensors, map };
}

function pair({ pairs }: GgufFile, key: string): number | boolean | string | undefined {
  return pairs.find((one) => one.key === key)?.value;
}
