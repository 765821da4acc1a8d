import { z } from 'zod';
import { CalyxError } from '../core/errors.js';

/** How the frequencies of the rotary embedding are stretched for long contexts. */
export type RopeScaling =
  | { readonly type: 'default' }
  | { readonly type: 'linear'; readonly factor: number }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositions: number;
    };

/** The rotary embedding of a model. */
export interface RopeConfig {
  readonly theta: number;
  readonly scaling: RopeScaling;
}

/** Cosines and sines of some positions: each `[positions, headDim / 2]`, row-major. */
export interface RopeTable {
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

const DEFAULT_THETA = 10_000;
const positive = z.number().positive().max(1e12);
const PARAMETERS = z.object({
  rope_type: z.string().max(100).optional(),
  type: z.string().max(100).optional(),
  rope_theta: positive.nullish(),
  factor: positive.min(1).optional(),
  low_freq_factor: positive.optional(),
  high_freq_factor: positive.optional(),
  original_max_position_embeddings: z.int().min(1).max(33_554_432).optional(),
  partial_rotary_factor: z.number().nullish(),
});

/**
 * Reads the rotary embedding from config.json: `rope_parameters` (newer) or `rope_theta` and `rope_scaling` (older).
 *
 * @throws CalyxError `unsupported` for other types than default, linear and llama3; `invalid-model` for wrong values
 */
export function parseRope(
  raw: { rope_parameters?: unknown; rope_scaling?: unknown; rope_theta?: unknown },
  file: string,
): RopeConfig {
  const given = raw.rope_parameters ?? raw.rope_scaling ?? {};
  if (raw.rope_parameters && raw.rope_scaling && !sameJson(raw.rope_parameters, raw.rope_scaling))
    throw new CalyxError('invalid-model', `${file}: rope_parameters and rope_scaling contradict each other`);
  const parsed = PARAMETERS.safeParse(given);
  const theta = positive.nullish().safeParse(raw.rope_theta);
  if (!parsed.success || !theta.success) {
    const issue = (parsed.error ?? theta.error)?.issues[0];
    throw new CalyxError(
      'invalid-model',
      `${file}: rotary embedding: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`,
    );
  }
  const parameters = parsed.data;
  const type = parameters.rope_type ?? parameters.type ?? 'default';
  // Parameters per kind of block (Gemma 3 and others) nest objects here; none of our families has them.
  const nested = Object.values(given).some((value) => typeof value === 'object' && value !== null);
  if (nested || (parameters.partial_rotary_factor ?? 1) !== 1 || !isKnown(type)) {
    throw new CalyxError(
      'unsupported',
      `${file}: the embedded engine does not run the rotary embedding '${nested ? 'per layer type' : type}'`,
      {
        hint: 'it knows default, linear and llama3; vLLM, transformers and llama.cpp run the others (yarn, dynamic, longrope)',
      },
    );
  }
  return {
    theta: parameters.rope_theta ?? theta.data ?? DEFAULT_THETA,
    scaling: scalingOf(type, parameters, file),
  };
}

function scalingOf(
  type: RopeScaling['type'],
  parameters: z.infer<typeof PARAMETERS>,
  file: string,
): RopeScaling {
  if (type === 'default') return { type };
  const need = (key: keyof typeof parameters): number => {
    const value = parameters[key];
    if (typeof value === 'number') return value;
    throw new CalyxError('invalid-model', `${file}: the rotary embedding '${type}' needs ${key}`);
  };
  if (type === 'linear') return { type, factor: need('factor') };
  const scaling = {
    type,
    factor: need('factor'),
    lowFreqFactor: need('low_freq_factor'),
    highFreqFactor: need('high_freq_factor'),
    originalMaxPositions: need('original_max_position_embeddings'),
  };
  if (scaling.highFreqFactor <= scaling.lowFreqFactor)
    throw new CalyxError('invalid-model', `${file}: high_freq_factor must be above low_freq_factor`);
  return scaling;
}

function isKnown(type: string): type is RopeScaling['type'] {
  return type === 'default' || type === 'linear' || type === 'llama3';
}

function sameJson(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/**
 * The inverse frequencies, `headDim / 2` of them. Each step is rounded to float32 as transformers' is, because at position
 * 100,000 a difference in the last bit is a visible angle.
 *
 * Source: transformers `modeling_rope_utils.py` (default, linear, llama3)
 */
export function inverseFrequencies(rope: RopeConfig, headDim: number): Float32Array {
  const result = new Float32Array(headDim / 2);
  for (let i = 0; i < result.length; i += 1) {
    const exponent = Math.fround((2 * i) / headDim);
    const plain = Math.fround(1 / Math.fround(rope.theta ** exponent));
    result[i] = scaleFrequency(plain, rope.scaling);
  }
  return result;
}

function scaleFrequency(frequency: number, scaling: RopeScaling): number {
  const { fround } = Math;
  if (scaling.type === 'default') return frequency;
  if (scaling.type === 'linear') return fround(frequency / scaling.factor);
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = scaling;
  const wavelength = fround((2 * Math.PI) / frequency);
  if (wavelength < originalMaxPositions / highFreqFactor) return frequency;
  if (wavelength > originalMaxPositions / lowFreqFactor) return fround(frequency / factor);
  const smooth = fround(
    fround(fround(originalMaxPositions / wavelength) - lowFreqFactor) / (highFreqFactor - lowFreqFactor),
  );
  return fround(fround((fround(1 - smooth) * frequency) / factor) + fround(smooth * frequency));
}

/** The table for positions `start` to `start + count - 1`. */
export function ropeTable(frequencies: Float32Array, start: number, count: number): RopeTable {
  const cos = new Float32Array(count * frequencies.length);
  const sin = new Float32Array(count * frequencies.length);
  let at = 0;
  for (let position = start; position < start + count; position += 1) {
    for (const frequency of frequencies) {
      const angle = Math.fround(position * frequency);
      cos[at] = Math.cos(angle);
      sin[at] = Math.sin(angle);
      at += 1;
    }
  }
  return { cos, sin };
}
