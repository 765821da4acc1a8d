import { describe, expect, it } from 'vitest';
import { expectError } from '../../test/support/expect-error.js';
import { parseModelConfig } from './model-config.js';

const read = (config: object) => parseModelConfig(JSON.stringify(config), '/m/config.json');

describe('parseModelConfig', () => {
  // Excerpts of published configurations.
  it.each<[string, object, string, number | undefined, boolean]>([
    ['Llama 3.1', { model_type: 'llama', num_hidden_layers: 32, tie_word_embeddings: false }, 'llama', 32, false],
    ['Qwen2.5 0.5B', { model_type: 'qwen2', num_hidden_layers: 24, tie_word_embeddings: true }, 'qwen2', 24, true],
    ['GPT-2', { model_type: 'gpt2', n_layer: 12, n_head: 12 }, 'gpt2', 12, false],
    ['BLOOM', { model_type: 'bloom', n_layer: 70 }, 'bloom', 70, false],
    ['MPT', { model_type: 'mpt', n_layers: 32 }, 'mpt', 32, false],
    ['ChatGLM3', { model_type: 'chatglm', num_layers: 28, tie_word_embeddings: false }, 'chatglm', 28, false],
    ['Gemma 3', { model_type: 'gemma3', text_config: { model_type: 'gemma3_text', num_hidden_layers: 34 }, vision_config: { num_hidden_layers: 27 } }, 'gemma3_text', 34, false],
    ['InternVL', { model_type: 'internvl_chat', llm_config: { model_type: 'qwen2', num_hidden_layers: 28 }, vision_config: { num_hidden_layers: 24 } }, 'qwen2', 28, false],
    ['DeepSeek-VL2', { model_type: 'deepseek_vl_v2', language_config: { num_hidden_layers: 27 } }, 'deepseek_vl_v2', 27, false],
    ['Qwen2-VL', { model_type: 'qwen2_vl', num_hidden_layers: 28, tie_word_embeddings: true, vision_config: { depth: 32 } }, 'qwen2_vl', 28, true],
    ['Gemma 3 with a tied head said outside', { tie_word_embeddings: true, text_config: { model_type: 'g', num_hidden_layers: 2 } }, 'g', 2, true],
    ['nothing that is known', { model_type: 'new' }, 'new', undefined, false],
  ])('%s', (_, config, modelType, blockCount, tiedHead) => {
    expect(read(config)).toEqual({ modelType, blockCount, tiedHead });
  }); // prettier-ignore

  it.each([0, -1, 1.5, '12', null, true, 1e300, [12]])('refuses %j blocks', async (count) => {
    await expectError(() => read({ num_hidden_layers: count }), 'invalid-model', '/m/config.json', JSON.stringify(count));
  }); // prettier-ignore

  it.each(['', '{', 'null', '[]', '7', '"x"', '\ufeff{}'])('refuses %j', async (text) => {
    await expectError(
      () => parseModelConfig(text, '/m/config.json'),
      'invalid-model',
      '/m/config.json is not',
    );
  });

  it('refuses encoder-decoders and says what works', async () => {
    await expectError(() => read({ model_type: 't5', is_encoder_decoder: true }), 'unsupported', 'encoder-decoder', 'Llama');
  }); // prettier-ignore

  it('takes a __proto__ in the config for a name like any other', () => {
    const config = parseModelConfig('{"__proto__":{"num_hidden_layers":3},"model_type":"x"}', 'c');
    expect(config.blockCount).toBeUndefined();
  });
});
