import { describe, expect, it } from 'vitest';
import { expectError } from '../../test/support/expect-error.js';
import { PUBLISHED_MODELS, type PublishedModel } from '../../test/support/published-tensor-names.js';
import { checkComplete, mapBlocks, type BlockMap } from './block-map.js';
import { NO_CONFIG, parseModelConfig } from './model-config.js';
import type { TensorLocation } from './tensor.js';

const tensors = (names: readonly string[], large: readonly string[] = []): TensorLocation[] =>
  names.map((name) => {
    const length = large.includes(name) ? 2 ** 40 : 1024;
    return { name, dtype: 'U8', shape: [length], offset: 8, length, file: 'model.safetensors' };
  });

const blockNames = (model: PublishedModel, block: number): string[] => [
  ...model.block.map((name) => name.replace('#', String(block))),
  ...(model.extra?.[block] ?? []),
];

/** As files have them: sorted by name, so that block 10 stands before block 2. */
const allNames = (model: PublishedModel): string[] =>
  [
    ...model.embed,
    ...Array.from({ length: model.blocks }, (_, block) => blockNames(model, block)).flat(),
    ...model.head,
  ].sort();

describe.each(PUBLISHED_MODELS)('$family', (model) => {
  const names = allNames(model);
  const list = tensors(names, model.large);
  const named = (indexes: readonly number[]): string[] => indexes.map((index) => names[index] ?? '?').sort();
  const check = (map: BlockMap): void => {
    expect(map.blockCount).toBe(model.blocks);
    expect(named(map.embed)).toEqual([...model.embed].sort());
    expect(named(map.head)).toEqual(
      [...model.head, ...(model.tied === undefined ? [] : [model.tied])].sort(),
    );
    expect(map.blocks).toHaveLength(model.blocks);
    map.blocks.forEach((indexes, block) => expect(named(indexes)).toEqual(blockNames(model, block).sort()));
  };

  it('has each tensor in its part', () => {
    const config = parseModelConfig(JSON.stringify(model.config), 'config.json');
    const map = mapBlocks(list, config, 'm');
    check(map);
    expect(() => checkComplete(map, 'm')).not.toThrow();
  });

  it('needs no config for that, unless its last layers are no blocks', () => {
    if (model.head.some((name) => name.startsWith(`model.layers.${model.blocks}.`)))
      expect(mapBlocks(list, NO_CONFIG, 'm').blockCount).toBe(model.blocks + 1);
    else check(mapBlocks(list, NO_CONFIG, 'm'));
  });
});

describe('mapBlocks', () => {
  const config = (blockCount: number, tiedHead = false) => ({ modelType: 'x', blockCount, tiedHead });
  const LLAMA = ['lm_head.weight', 'model.embed_tokens.weight', 'model.layers.0.w', 'model.layers.1.w', 'model.norm.weight']; // prettier-ignore

  it('repeats the embeddings for a head that the config ties, even where a projection was saved too', () => {
    expect(mapBlocks(tensors(LLAMA), config(2), 'm').head).toEqual([0, 4]);
    expect(mapBlocks(tensors(LLAMA), config(2, true), 'm').head).toEqual([0, 4, 1]);
  });

  it('leaves the blocks of a slice empty that it does not hold, and repeats nothing in a head that is not there', () => {
    const map = mapBlocks(tensors(['model.embed_tokens.weight', 'model.layers.1.w']), config(4, true), 'm');
    expect(map).toEqual({ blockCount: 4, embed: [0], blocks: [[], [1], [], []], head: [] });
  });

  it('takes the heaviest of several stacks', () => {
    const names = ['talker.model.layers.5.w', 'thinker.model.layers.0.w', 'thinker.model.norm.weight'];
    expect(mapBlocks(tensors(names, ['thinker.model.layers.0.w']), NO_CONFIG, 'm')).toMatchObject({
      blockCount: 1,
      embed: [0],
      blocks: [[1]],
    });
  });

  it('refuses layers beyond the config that predict nothing', async () => {
    await expectError(() => mapBlocks(tensors(LLAMA), config(1), 'some/path'), 'invalid-model', 'some/path: ', '"model.layers.1.w" belongs to block 1');
  }); // prettier-ignore

  it('refuses what has no layers, or endlessly many', async () => {
    await expectError(() => mapBlocks([], NO_CONFIG, 'p'), 'unsupported', 'p: no numbered decoder layers among its 0 tensors');
    await expectError(() => mapBlocks(tensors(['lora.0.weight']), NO_CONFIG, 'p'), 'unsupported');
    await expectError(() => mapBlocks(tensors(LLAMA), config(2 ** 52), 'p'), 'invalid-model', 'config.json claims 4503599627370496 blocks');
  }); // prettier-ignore
});

describe('checkComplete', () => {
  it.each<[string, Partial<BlockMap>, string]>([
    ['one block', { blocks: [[1], [], [2]] }, 'the blocks 1 are missing'],
    ['many blocks', { blocks: Array.from({ length: 12 }, () => []) }, 'the blocks 0, 1, 2, 3, 4, 5, 6, 7, ... are missing'],
    ['the embeddings', { embed: [] }, 'the embeddings are missing'],
    ['embeddings and head', { embed: [], head: [] }, 'the embeddings and the head are missing'],
  ])('names what is missing: %s', async (_, change, says) => {
    const map = { blockCount: 3, embed: [0], blocks: [[1], [2], [3]], head: [4], ...change };
    await expectError(() => checkComplete(map, '/m'), 'invalid-model', '/m is not a complete model', says);
  }); // prettier-ignore
});
