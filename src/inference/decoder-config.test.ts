import { describe, expect, it } from 'vitest';
import { parseDecoderConfig } from './decoder-config.js';

const LLAMA = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  intermediate_size: 128,
  vocab_size: 100,
};
const parse = (changes: Record<string, unknown>): ReturnType<typeof parseDecoderConfig> =>
  parseDecoderConfig(JSON.stringify({ ...LLAMA, ...changes }));
const mistral = { architectures: ['MistralForCausalLM'], model_type: 'mistral', num_key_value_heads: 4 };
const qwen2 = { architectures: ['Qwen2ForCausalLM'], model_type: 'qwen2', num_key_value_heads: 2 };
const qwen3 = { architectures: ['Qwen3ForCausalLM'], model_type: 'qwen3', num_key_value_heads: 2 };

describe('parseDecoderConfig', () => {
  it('assumes what transformers assumes for missing keys', () => {
    expect(parse({})).toEqual({
      family: 'llama',
      blockCount: 2,
      hiddenSize: 64,
      headCount: 4,
      kvHeadCount: 4,
      headDim: 16,
      intermediateSize: 128,
      vocabSize: 100,
      maxPositions: 2048,
      normEpsilon: 1e-6,
      rope: { theta: 10_000, scaling: { type: 'default' } },
      tiedHead: false,
      qkvBias: false,
      outputBias: false,
      mlpBias: false,
      qkNorm: false,
      windows: [null, null],
    });
    expect(parse({ ...mistral, num_attention_heads: 8, num_key_value_heads: undefined }).kvHeadCount).toBe(8);
    expect(parse(mistral)).toMatchObject({ windows: [4096, 4096], maxPositions: 131_072 });
    expect(parse({ ...mistral, sliding_window: null }).windows).toEqual([null, null]);
    expect(parse(qwen2)).toMatchObject({ qkvBias: true, outputBias: false, windows: [null, null] });
    expect(parse(qwen3)).toMatchObject({ qkvBias: false, qkNorm: true, headDim: 128 });
  });

  it('takes the older and the newer form of the rotary embedding', () => {
    const llama3 = {
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 64,
    };
    const expected = {
      theta: 500_000,
      scaling: { type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 64 },
    };
    const newer = { rope_parameters: { ...llama3, rope_type: 'llama3', rope_theta: 500_000 } };
    const older = { rope_theta: 500_000, rope_scaling: { ...llama3, type: 'llama3' } };
    expect(parse(newer).rope).toEqual(expected);
    expect(parse(older).rope).toEqual(expected);
    expect(parse({ rope_scaling: { type: 'linear', factor: 2 } }).rope).toEqual({
      theta: 10_000,
      scaling: { type: 'linear', factor: 2 },
    });
  });

  it('places windows as the Qwen models do', () => {
    const sliding = { use_sliding_window: true, sliding_window: 7 };
    expect(parse({ ...qwen2, ...sliding, max_window_layers: 1 }).windows).toEqual([null, 7]);
    expect(
      parse({ ...qwen3, ...sliding, layer_types: ['sliding_attention', 'full_attention'] }).windows,
    ).toEqual([7, null]);
    expect(parse({ ...qwen2, sliding_window: 7, max_window_layers: 0 }).windows).toEqual([null, null]);
  });

  it.each([
    [{ model_type: 'gemma2', architectures: ['Gemma2ForCausalLM'] }, "models of type 'gemma2'"],
    [{ architectures: ['LlamaForSequenceClassification'] }, 'LlamaForSequenceClassification'],
    [{ hidden_act: 'gelu' }, "activation 'gelu'"],
    [{ quantization_config: { quant_method: 'gptq' } }, 'quantized weights'],
    [{ num_local_experts: 8 }, 'mixture of experts'],
    [{ rope_scaling: { rope_type: 'yarn', factor: 4 } }, "rotary embedding 'yarn'"],
    [{ rope_scaling: { type: 'dynamic', factor: 4 } }, "rotary embedding 'dynamic'"],
    [{ rope_parameters: { full_attention: { rope_type: 'default' } } }, "rotary embedding 'per layer type'"],
    [{ partial_rotary_factor: 0.5 }, 'partial rotary'],
    [{ head_dim: 12 }, 'heads of 12 values'],
    [{ ...qwen3, layer_types: ['full_attention', 'linear_attention'] }, "blocks of type 'linear_attention'"],
    [{ layer_types: ['full_attention', 'sliding_attention'] }, 'mixed layer_types'],
  ])('refuses %j and says which engines can run it', (changes, what) => {
    const error = thrownBy(() => parse(changes));
    expect(error).toMatchObject({ code: 'unsupported' });
    expect(error.message).toContain(what);
    expect(error.hint).toMatch(/vLLM.*transformers.*llama\.cpp/s);
  });

  it.each([
    [{ hidden_size: 1e15 }, 'hidden_size'],
    [{ num_hidden_layers: 10_000_000 }, 'num_hidden_layers'],
    [{ num_hidden_layers: -1 }, 'num_hidden_layers'],
    [{ vocab_size: 1.5 }, 'vocab_size'],
    [{ vocab_size: '100' }, 'vocab_size'],
    [{ num_attention_heads: 0 }, 'num_attention_heads'],
    [{ num_attention_heads: 4, num_key_value_heads: 3 }, 'num_key_value_heads'],
    [{ hidden_size: 66 }, 'head_dim is missing'],
    [{ rms_norm_eps: -1 }, 'rms_norm_eps'],
    [{ rope_theta: 'big' }, 'rotary'],
    [{ rope_scaling: { type: 'linear' } }, 'needs factor'],
    [{ rope_scaling: { type: 'linear', factor: 0 } }, 'factor'],
    [{ rope_parameters: { rope_theta: 1 }, rope_scaling: { type: 'linear', factor: 2 } }, 'contradict'],
    [{ ...qwen2, layer_types: ['full_attention'] }, 'layer_types has 1'],
    [{ ...qwen2, layer_types: ['full_attention', 'sliding_attention'] }, 'no window'],
    [{ model_type: undefined }, 'model_type'],
  ])('names what is wrong in %j', (changes, what) => {
    const error = thrownBy(() => parse(changes));
    expect(error).toMatchObject({ code: 'invalid-model' });
    expect(error.message).toContain('config.json');
    expect(error.message).toContain(what);
  });

  it.each(['', '[]', '7', '{"model_type": "llama"', `{"a": "${'x'.repeat(5_000_000)}"}`])(
    'refuses a file that is no configuration (%#)',
    (text) => {
      expect(thrownBy(() => parseDecoderConfig(text))).toMatchObject({ code: 'invalid-model' });
    },
  );
});

function thrownBy(work: () => unknown): Error & { hint?: string } {
  try {
    work();
  } catch (error) {
    return error as Error & { hint?: string };
  }
  throw new Error('it did not throw');
}
