import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/expect-error.js';
import type { TensorLocation } from '../tensor.js';
import { mapGgufBlocks } from './gguf-block-map.js';

const tensors = (names: readonly string[]): TensorLocation[] =>
  names.map((name, index) => ({
    name,
    dtype: 'F32',
    shape: [8],
    offset: 32 * index,
    length: 32,
    file: 'm.gguf',
  }));

const LLAMA = [
  'attn_norm',
  'attn_q',
  'attn_k',
  'attn_v',
  'attn_output',
  'ffn_norm',
  'ffn_gate',
  'ffn_down',
  'ffn_up',
];

const block = (number: number, names: readonly string[]): string[] =>
  names.map((name) => `blk.${number}.${name}.weight`);

/** Names of tensors of published GGUF files, in the order of the files. */
const MODELS: readonly {
  readonly family: string;
  readonly names: readonly string[];
  readonly claimed: number;
  readonly embed: readonly string[];
  readonly blocks: readonly (readonly string[])[];
  readonly head: readonly string[];
}[] = [
  {
    family: 'Llama 2 (projection first)',
    names: ['output.weight', 'token_embd.weight', ...block(0, LLAMA), ...block(1, LLAMA), 'output_norm.weight'],
    claimed: 2,
    embed: ['token_embd.weight'],
    blocks: [block(0, LLAMA), block(1, LLAMA)],
    head: ['output.weight', 'output_norm.weight'],
  },
  {
    family: 'Llama 3.2 (tied, factors of the rotary embedding for all blocks)',
    names: ['token_embd.weight', ...block(0, LLAMA), 'rope_freqs.weight', ...block(1, LLAMA), 'output_norm.weight'],
    claimed: 2,
    embed: ['token_embd.weight'],
    blocks: [
      [...block(0, LLAMA), 'rope_freqs.weight'],
      ['rope_freqs.weight', ...block(1, LLAMA)],
    ],
    head: ['output_norm.weight', 'token_embd.weight'],
  },
  {
    family: 'Phi-3 (two lists of factors)',
    names: ['token_embd.weight', 'rope_factors_long.weight', 'rope_factors_short.weight', ...block(0, ['attn_qkv', 'ffn_up']), 'output_norm.weight', 'output.weight'],
    claimed: 1,
    embed: ['token_embd.weight'],
    blocks: [['rope_factors_long.weight', 'rope_factors_short.weight', ...block(0, ['attn_qkv', 'ffn_up'])]],
    head: ['output_norm.weight', 'output.weight'],
  },
  {
    family: 'GPT-2 (positions, biases)',
    names: ['token_embd.weight', 'position_embd.weight', 'blk.0.attn_norm.bias', 'blk.0.attn_qkv.weight', 'output_norm.weight', 'output_norm.bias', 'output.weight'],
    claimed: 1,
    embed: ['token_embd.weight', 'position_embd.weight'],
    blocks: [['blk.0.attn_norm.bias', 'blk.0.attn_qkv.weight']],
    head: ['output_norm.weight', 'output_norm.bias', 'output.weight'],
  },
  {
    family: 'BLOOM (norm behind the embeddings)',
    names: ['token_embd.weight', 'token_embd_norm.weight', 'token_embd_norm.bias', ...block(0, ['attn_qkv']), 'output_norm.weight', 'output.weight'],
    claimed: 1,
    embed: ['token_embd.weight', 'token_embd_norm.weight', 'token_embd_norm.bias'],
    blocks: [block(0, ['attn_qkv'])],
    head: ['output_norm.weight', 'output.weight'],
  },
  {
    family: 'GLM-4.5 (a last layer that predicts further tokens)',
    names: ['token_embd.weight', ...block(0, ['attn_q', 'ffn_up_exps']), ...block(1, ['attn_q']), 'blk.2.attn_q.weight', 'blk.2.nextn.eh_proj.weight', 'output.weight', 'output_norm.weight'],
    claimed: 3,
    embed: ['token_embd.weight'],
    blocks: [block(0, ['attn_q', 'ffn_up_exps']), block(1, ['attn_q'])],
    head: ['output.weight', 'output_norm.weight', 'blk.2.attn_q.weight', 'blk.2.nextn.eh_proj.weight'],
  },
]; // prettier-ignore

describe('mapGgufBlocks', () => {
  it.each(MODELS)('$family', ({ names, claimed, embed, blocks, head }) => {
    const map = mapGgufBlocks(tensors(names), claimed, 'm');
    const named = (ordinals: readonly number[]) => ordinals.map((ordinal) => names[ordinal]);
    expect(named(map.embed)).toEqual(embed);
    expect(map.blocks.map(named)).toEqual(blocks);
    expect(named(map.head)).toEqual(head);
    expect(map.blockCount).toBe(blocks.length);
  });

  it('counts the blocks itself where nothing tells their number, also beyond 9', () => {
    const names = Array.from({ length: 12 }, (_, number) => `blk.${number}.attn_q.weight`).sort();
    const map = mapGgufBlocks(tensors(['token_embd.weight', ...names]), undefined, 'm');
    expect(map.blocks.map((ordinals) => ordinals.map((ordinal) => names[ordinal - 1]))).toEqual(
      Array.from({ length: 12 }, (_, number) => [`blk.${number}.attn_q.weight`]),
    );
  });

  it('leaves the blocks empty that a part does not hold', () => {
    const map = mapGgufBlocks(tensors(['rope_freqs.weight', 'blk.1.attn_q.weight']), 3, 'm');
    expect(map).toEqual({ blockCount: 3, embed: [], blocks: [[], [0, 1], []], head: [] });
  });

  it.each([
    ['no blocks', ['token_embd.weight'], undefined, 'unsupported', 'no blocks among its 1 tensors'],
    ['nothing', [], 4, 'unsupported', 'no blocks'],
    ['an encoder', ['enc.blk.0.attn_q.weight', 'dec.blk.0.attn_q.weight'], 1, 'unsupported', 'encoder-decoder'],
    ['a block too many', ['blk.0.w', 'blk.1.w'], 1, 'invalid-model', '"blk.1.w" belongs to block 1'],
    ['endlessly many', ['blk.0.w'], 2 ** 31, 'invalid-model', 'claims 2147483648 blocks'],
    ['endlessly many tensors for all blocks', ['blk.0.w', ...Array.from({ length: 9 }, (_, index) => `rope_factors_${index}.weight`)], 1, 'invalid-model', 'has 9 tensors that all blocks need'],
    ['endlessly many by name', ['blk.99999.w'], undefined, 'invalid-model', 'claims 100000 blocks'],
  ] as const)('refuses %s', async (_, names, claimed, code, says) => {
    await expectError(() => mapGgufBlocks(tensors(names), claimed, 'some/path'), code, 'some/path', says);
  });
}); // prettier-ignore
