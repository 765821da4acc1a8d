import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readModel } from '../../src/weights/model-directory.js';

/** Seen from dist/test/weights, where this runs. */
const root = fileURLToPath(new URL('../../../', import.meta.url));

interface Known {
  readonly path: string;
  readonly shardSizes: readonly number[];
  readonly tensors: number;
  readonly bytes: number;
  /** Tensors and bytes of the parts. */
  readonly embed: readonly [number, number];
  readonly block: readonly [number, number];
  readonly head: readonly [number, number];
  /** For each block, the numbers of the shards that hold some of it. */
  readonly shards: readonly (readonly number[])[];
}

// Counted with Python's json and struct from the headers of the files.
const MODELS: readonly Known[] = [
  {
    path: 'test/fixtures/models/llama3-rope',
    shardSizes: [111336, 116472, 118368, 116008, 116000, 64376],
    tensors: 57,
    bytes: 636544,
    embed: [1, 40960],
    block: [9, 92416],
    head: [2, 41088],
    shards: [[1, 2], [2], [3], [3, 4], [4, 5], [5, 6]],
  },
  {
    path: 'test/fixtures/models/mistral-f32',
    shardSizes: [776360],
    tensors: 39,
    bytes: 772352,
    embed: [1, 81920],
    block: [9, 152064],
    head: [2, 82176],
    shards: [[1], [1], [1], [1]],
  },
  {
    // Tied: the head part is the norm (128 bytes) and the embedding table once more.
    path: 'test/fixtures/models/qwen2-tied',
    shardSizes: [87208, 87776, 87776, 87776, 87776, 41864],
    tensors: 62,
    bytes: 473728,
    embed: [1, 40960],
    block: [12, 86528],
    head: [2, 41088],
    shards: [
      [1, 2],
      [2, 3],
      [3, 4],
      [4, 5],
      [5, 6],
    ],
  },
  {
    path: 'test/fixtures/models/qwen3',
    shardSizes: [132144, 149656, 145536, 132712, 132704, 62328],
    tensors: 69,
    bytes: 747904,
    embed: [1, 40960],
    block: [11, 110976],
    head: [2, 41088],
    shards: [[1, 2], [2], [2, 3], [3, 4], [4, 5], [5, 6]],
  },
  {
    path: 'models/tiny-calyx',
    shardSizes: [2979352, 2905504, 2857568, 1797672],
    tensors: 111,
    bytes: 10528128,
    embed: [1, 393216],
    block: [9, 811776],
    head: [2, 393600],
    shards: [[1], [1], [1], [1, 2], [2], [2], [2, 3], [3], [3], [3], [3, 4], [4]],
  },
];

describe.each(MODELS)('$path', (known) => {
  it('is mapped as Python counts it', async () => {
    const { shards, tensors, map } = await readModel(root + known.path);
    const count = (part: readonly number[]): [number, number] => [
      part.length,
      part.reduce((sum, index) => sum + (tensors[index]?.length ?? NaN), 0),
    ];
    expect(shards.map(({ size }) => size)).toEqual(known.shardSizes);
    expect(tensors).toHaveLength(known.tensors);
    expect(tensors.reduce((sum, { length }) => sum + length, 0)).toBe(known.bytes);
    expect(count(map.embed)).toEqual(known.embed);
    expect(count(map.head)).toEqual(known.head);
    expect(map.blockCount).toBe(known.shards.length);
    expect(map.blocks.map(count)).toEqual(known.shards.map(() => known.block));
    const shardNumbers = map.blocks.map((part) => [
      ...new Set(part.map((index) => 1 + shards.findIndex(({ path }) => path === tensors[index]?.file))),
    ]);
    expect(shardNumbers).toEqual(known.shards);
  });
});
