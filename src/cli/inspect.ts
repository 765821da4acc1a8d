import type { Command } from 'commander';
import { formatSize } from '../core/units.js';
import type { TensorLocation } from '../weights/tensor.js';
import { readModel, type ModelWeights } from '../weights/model-directory.js';
import { partFile, type PartId } from '../weights/parts.js';
import { note, print, printJson, printTable } from './terminal.js';
import { runCommand, type CommonOptions } from './run-command.js';

/** `calyx inspect PATH`: what is inside a model. Reads headers only. */
export function inspectCommand(program: Command): void {
  program
    .command('inspect')
    .description('show the blocks of a model on this disk: bytes, shards, dtypes')
    .argument('<path>', 'a model directory, or a single safetensors or GGUF file')
    .option('--json', 'print all parts with the extents of their tensors as JSON')
    .option('--verbose', 'show where errors come from')
    .action((path: string, options: CommonOptions) =>
      runCommand(options, async () => {
        const weights = await readModel(path);
        const parts = describeParts(weights);
        if (options.json === true) printJson(toJson(path, weights, parts));
        else printParts(path, weights, parts);
        return 0;
      }),
    );
}

interface PartSummary {
  readonly part: PartId;
  readonly tensors: readonly TensorLocation[];
  readonly bytes: number;
  readonly dtypes: readonly string[];
  readonly shards: readonly string[];
}

function describeParts({ map, tensors }: ModelWeights): PartSummary[] {
  const all: (readonly [PartId, readonly number[]])[] = [
    ['embed', map.embed],
    ...map.blocks.map((ordinals, block) => [block, ordinals] as const),
    ['head', map.head],
  ];
  return all.map(([part, ordinals]) => {
    const own = ordinals.flatMap((ordinal) => tensors[ordinal] ?? []);
    return {
      part,
      tensors: own,
      bytes: own.reduce((sum, tensor) => sum + tensor.length, 0),
      dtypes: [...new Set(own.map((tensor) => tensor.dtype))],
      shards: [...new Set(own.map((tensor) => tensor.file))],
    };
  });
}

function toJson(path: string, weights: ModelWeights, parts: readonly PartSummary[]): unknown {
  return {
    path,
    format: weights.format,
    modelType: weights.config.modelType ?? null,
    blocks: weights.map.blockCount,
    tensors: weights.tensors.length,
    bytes: tensorBytes(weights),
    shards: weights.shards.map(({ path: file, size }) => ({ file, size })),
    parts: parts.map(({ part, bytes, dtypes, shards, tensors }) => ({
      part: typeof part === 'number' ? 'block' : part,
      ...(typeof part === 'number' ? { block: part } : {}),
      file: partFile(part, weights.format),
      bytes,
      dtypes,
      shards,
      tensors: tensors.map(({ name, dtype, shape, file, offset, length }) => ({
        name,
        dtype,
        shape,
        file,
        offset,
        length,
      })),
    })),
  };
}

function printParts(path: string, weights: ModelWeights, parts: readonly PartSummary[]): void {
  const { config, map, tensors, shards } = weights;
  print(
    `${path}: ${config.modelType ?? 'unknown family'}, ${map.blockCount} blocks, ${tensors.length} tensors in ${shards.length} shards`,
  );
  print('');
  const rows = parts.map(({ part, bytes, dtypes, shards: own, tensors: { length } }) => [
    typeof part === 'number' ? `block ${part}` : part,
    length === 0 ? 'not here' : formatSize(bytes),
    String(length),
    dtypes.join(', '),
    own.join(', '),
  ]);
  printTable(['part', 'bytes', 'tensors', 'dtype', 'shards'], rows, [1, 2]);
  print('');
  print(`total ${formatSize(tensorBytes(weights))} (${tensorBytes(weights)} bytes) of tensors`);
  const straddling = parts.filter(
    ({ part, shards: own }) => typeof part === 'number' && own.length > 1,
  ).length;
  if (straddling > 0) note(`${straddling} of ${map.blockCount} blocks straddle two or more shards`);
}

function tensorBytes({ tensors }: ModelWeights): number {
  return tensors.reduce((sum, tensor) => sum + tensor.length, 0);
}
