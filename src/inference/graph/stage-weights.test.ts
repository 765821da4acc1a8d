import { describe, expect, it } from 'vitest';
import type { TensorLocation } from '../../weights/tensor.js';
import { parseDecoderConfig } from '../decoder-config.js';
import { expectedTensors, StageWeights, type StageShape } from './stage-weights.js';

const config = parseDecoderConfig(
  JSON.stringify({
    model_type: 'llama',
    hidden_size: 16,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 24,
    vocab_size: 10,
    tie_word_embeddings: true,
  }),
);
const stage: StageShape = { blocks: { start: 1, end: 2 }, embed: false, head: true };
const good: TensorLocation[] = [...expectedTensors(config, stage)].map(([name, shape]) => ({
  name,
  shape,
  dtype: 'BF16',
  file: 'block-00001.safetensors',
  offset: 100,
  length: 2 * shape.reduce((product, size) => product * size, 1),
}));
const Q = 'model.layers.1.self_attn.q_proj.weight';
const changed = (name: string, change: Partial<TensorLocation>): TensorLocation[] =>
  good.map((tensor) => (tensor.name === name ? { ...tensor, ...change } : tensor));

describe('StageWeights', () => {
  it('takes what the stage needs and leaves other blocks alone', () => {
    const other = {
      name: 'model.layers.0.strange',
      dtype: 'U8',
      shape: [1],
      file: 'a',
      offset: 0,
      length: 1,
    };
    const weights = new StageWeights(config, stage, [...good, other]);
    expect(weights.get(Q).offset).toBe(100);
    expect(weights.bytes).toBe(good.reduce((sum, { length }) => sum + length, 0));
    // The head is tied, so it is the embedding table.
    expect(good.map(({ name }) => name)).toContain('model.embed_tokens.weight');
  });

  it('ignores the constants of old checkpoints', () => {
    const inv = 'model.layers.1.self_attn.rotary_emb.inv_freq';
    const tensor = { name: inv, dtype: 'F32', shape: [4], file: 'a.safetensors', offset: 0, length: 16 };
    expect(() => new StageWeights(config, stage, [...good, tensor])).not.toThrow();
  });

  it.each([
    ['missing', good.filter(({ name }) => name !== Q), 'invalid-model'],
    ['of another shape', changed(Q, { shape: [16, 8] }), 'invalid-model'],
    ['of another rank', changed(Q, { shape: [256] }), 'invalid-model'],
    ['of a wrong length', changed(Q, { length: 3 }), 'invalid-model'],
    ['of an integer type', changed(Q, { dtype: 'I8' }), 'unsupported'],
    ['of a type out of the prototype', changed(Q, { dtype: 'constructor' }), 'unsupported'],
  ])('names a tensor that is %s', (_what, tensors, code) => {
    expect(() => new StageWeights(config, stage, tensors)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(Q) as string }),
    );
  });

  it('refuses a path that leaves the directory', () => {
    expect(() => new StageWeights(config, stage, changed(Q, { file: '../secret' }))).toThrow(
      expect.objectContaining({ code: 'usage' }),
    );
  });

  it('refuses a tensor in a block which it would not use', () => {
    const extra = { ...(good[0] as TensorLocation), name: 'model.layers.1.self_attn.q_proj.bias' };
    expect(() => new StageWeights(config, stage, [...good, extra])).toThrow(
      expect.objectContaining({
        code: 'unsupported',
        message: expect.stringContaining('q_proj.bias') as string,
      }),
    );
  });
});
