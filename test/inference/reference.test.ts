import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseDecoderConfig, type DecoderConfig } from '../../src/inference/decoder-config.js';
import { expectedTensors } from '../../src/inference/graph/stage-weights.js';
import { prefill } from '../../src/inference/pipeline.js';
import { fixture, readGolden, tensorsIn } from './model-files.js';
import { configOf, maxDifference, meanAbs, split, startHosts, using } from './pipelines.js';
import { decode, writeRandomModel, type Sketch } from './random-model.js';
import { runReference, type ReferenceModel } from './reference-decoder.js';

const plainRope = (theta: number, headDim: number, factor = 1): number[] =>
  Array.from({ length: headDim / 2 }, (_, i) => theta ** ((-2 * i) / headDim) / factor);

/** The golden model's rope: factor 8, low 1, high 4, original context 64; wavelengths between 16 and 64 are blended. */
const llama3Rope = (headDim: number): number[] =>
  plainRope(500_000, headDim).map((frequency) => {
    const turns = 64 / ((2 * Math.PI) / frequency);
    if (turns > 4) return frequency;
    if (turns < 1) return frequency / 8;
    const smooth = (turns - 1) / (4 - 1);
    return ((1 - smooth) * frequency) / 8 + smooth * frequency;
  });

describe('the reference decoder itself gives the golden outputs', () => {
  const ropes: Record<string, number[]> = {
    'llama3-rope': llama3Rope(16),
    'qwen2-tied': plainRope(1_000_000, 16),
    qwen3: plainRope(1_000_000, 32),
    'mistral-f32': plainRope(10_000, 8),
  };
  for (const [name, inverseFrequencies] of Object.entries(ropes)) {
    it(name, () => {
      const directory = fixture(name);
      const model = referenceOf(configOf(directory), inverseFrequencies, weightsOf(directory));
      for (const { prompt, last_logits: logits, hidden_mean_abs: magnitudes = [] } of readGolden(directory)
        .cases) {
        const result = runReference(model, prompt as number[]);
        expect(maxDifference(result.logits, logits)).toBeLessThan(2e-5);
        const means = result.boundaries.map((rows) =>
          meanAbs(Float32Array.from(rows.flatMap((row) => [...row]))),
        );
        expect(maxDifference(means, magnitudes)).toBeLessThan(2e-6);
      }
    });
  }
});

interface Shape {
  readonly raw: Record<string, unknown>;
  readonly rope?: number[];
  readonly windows?: (number | null)[];
  readonly tokens?: number;
  /** The dtype of each tensor. @default F32 */
  readonly dtype?: (name: string, index: number) => Sketch['dtype'];
  /** Biases that must be among the weights, so that a test about them cannot pass without. */
  readonly has?: string[];
}

const BASE = {
  model_type: 'llama',
  hidden_size: 48,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  intermediate_size: 40,
  vocab_size: 61,
  max_position_embeddings: 1024,
  rms_norm_eps: 1e-5,
};
const SHAPES: Record<string, Shape> = {
  'a window of 5 in every block (mistral)': {
    raw: { model_type: 'mistral', sliding_window: 5 },
    windows: [5, 5, 5],
  },
  'a window of 1': { raw: { model_type: 'mistral', sliding_window: 1 }, windows: [1, 1, 1] },
  'a window of 64 in a sequence of 300': {
    raw: { model_type: 'mistral', sliding_window: 64, num_hidden_layers: 2 },
    windows: [64, 64],
    tokens: 300,
  },
  'windows in the later blocks (qwen2, max_window_layers)': {
    raw: { model_type: 'qwen2', sliding_window: 4, use_sliding_window: true, max_window_layers: 1 },
    windows: [null, 4, 4],
    has: ['q_proj.bias', 'k_proj.bias', 'v_proj.bias'],
  },
  'windows where layer_types says so (qwen3), with attention_bias': {
    raw: {
      model_type: 'qwen3',
      sliding_window: 6,
      use_sliding_window: true,
      attention_bias: true,
      layer_types: ['sliding_attention', 'full_attention', 'sliding_attention'],
    },
    windows: [6, null, 6],
    has: ['q_proj.bias', 'o_proj.bias', 'q_norm.weight'],
  },
  'attention_bias and mlp_bias (llama)': {
    raw: { attention_bias: true, mlp_bias: true },
    has: ['q_proj.bias', 'o_proj.bias', 'gate_proj.bias', 'down_proj.bias'],
  },
  'heads wider than hidden_size / heads, one key/value head': {
    raw: { head_dim: 40, num_key_value_heads: 1 },
    rope: plainRope(10_000, 40),
  },
  'linear rope': {
    raw: { rope_scaling: { type: 'linear', factor: 4 }, rope_theta: 5000 },
    rope: plainRope(5000, 16, 4),
  },
  'bf16, f16 and f32 in one model': {
    raw: {},
    dtype: (_name, index) => (['BF16', 'F16', 'F32'] as const)[index % 3] ?? 'F32',
  },
  'a tied head in f32': { raw: { tie_word_embeddings: true } },
  'a tied head in f16, as many key/value heads as heads': {
    raw: { tie_word_embeddings: true, num_key_value_heads: 4 },
    dtype: () => 'F16',
  },
};

describe('the engine gives what the reference decoder gives', () => {
  for (const [title, shape] of Object.entries(SHAPES)) {
    it(title, async () => {
      const directory = mkdtempSync(join(tmpdir(), 'calyx-reference-'));
      try {
        await compare(directory, shape);
      } finally {
        rmSync(directory, { recursive: true });
      }
    });
  }
});

async function compare(directory: string, shape: Shape): Promise<void> {
  const config = parseDecoderConfig(JSON.stringify({ ...BASE, ...shape.raw }));
  const whole = { blocks: { start: 0, end: config.blockCount }, embed: true, head: true };
  const sketches = [...expectedTensors(config, whole)].map(([name, dims], index) => ({
    name,
    shape: [...dims],
    dtype: shape.dtype?.(name, index) ?? ('F32' as const),
  }));
  for (const name of shape.has ?? [])
    expect(sketches.some((sketch) => sketch.name.endsWith(name))).toBe(true);
  const weights = writeRandomModel(directory, sketches, 4711);
  const rope = shape.rope ?? plainRope(10_000, config.headDim);
  const model = { ...referenceOf(config, rope, weights), windows: shape.windows ?? [] };
  const tokens = Array.from({ length: shape.tokens ?? 23 }, (_, i) => (i * 7 + 3) % config.vocabSize);
  const { logits } = runReference(model, tokens);

  const hosts = await startHosts(directory, split(config.blockCount, 2), { config });
  await using(hosts, async () => {
    for (const chunk of [tokens.length, 7, 1]) {
      const session = `reference-chunk-${chunk}-0000`;
      for (const host of hosts) await host.open(session, tokens.length);
      expect(maxDifference(await prefill(hosts, session, tokens, chunk), logits)).toBeLessThan(2e-5);
      for (const host of hosts) await host.close(session);
    }
  });
}

function referenceOf(
  config: DecoderConfig,
  inverseFrequencies: number[],
  weights: ReferenceModel['weights'],
): ReferenceModel {
  return {
    blockCount: config.blockCount,
    hidden: config.hiddenSize,
    heads: config.headCount,
    kvHeads: config.kvHeadCount,
    headDim: config.headDim,
    eps: config.normEpsilon,
    inverseFrequencies,
    windows: [],
    headName: weights.has('lm_head.weight') ? 'lm_head' : 'model.embed_tokens',
    weights,
  };
}

function weightsOf(directory: string): Map<string, Float64Array<ArrayBuffer>> {
  return new Map(
    tensorsIn(directory).map(({ file, name, dtype, offset, length }) => {
      const bytes = readFileSync(join(directory, file)).subarray(offset, offset + length);
      return [name, decode(bytes, dtype)];
    }),
  );
}
