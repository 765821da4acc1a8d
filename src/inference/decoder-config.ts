import { z } from 'zod';
import { CalyxError } from '../core/errors.js';
import { parseJsonFile } from './text-file.js';
import { parseRope, type RopeConfig } from './rope.js';

/** The model types (`model_type` of config.json) whose blocks the embedded engine runs. */
export const DECODER_FAMILIES = ['llama', 'mistral', 'qwen2', 'qwen3'] as const;
export type DecoderFamily = (typeof DECODER_FAMILIES)[number];

/** What the embedded engine needs to know of a model, from its config.json. All numbers are checked and bounded. */
export interface DecoderConfig {
  readonly family: DecoderFamily;
  /** Number of transformer blocks of the whole model. */
  readonly blockCount: number;
  readonly hiddenSize: number;
  readonly headCount: number;
  /** Key/value heads; divides {@link headCount}. */
  readonly kvHeadCount: number;
  /** Width of one head. `headCount * headDim` need not be {@link hiddenSize}. */
  readonly headDim: number;
  readonly intermediateSize: number;
  readonly vocabSize: number;
  /** The longest context in tokens. */
  readonly maxPositions: number;
  readonly normEpsilon: number;
  readonly rope: RopeConfig;
  /** The output projection is the embedding table. */
  readonly tiedHead: boolean;
  readonly qkvBias: boolean;
  readonly outputBias: boolean;
  readonly mlpBias: boolean;
  /** RMS norm of each query and key head before the rotary embedding (Qwen3). */
  readonly qkNorm: boolean;
  /** For each block the number of latest positions that a token attends to, itself included; null: all. */
  readonly windows: readonly (number | null)[];
}

/** A config.json is a few kilobytes; this bounds what a stranger makes us parse. */
const MAX_CONFIG_CHARS = 4 * 1024 * 1024;

const size = (max: number) => z.int().min(1).max(max);
const flag = z.boolean().nullish();

/**
 * The keys that change the arithmetic. The bounds are several times the largest published model; they keep a hostile file
 * from making anything allocate by its word.
 */
const CONFIG = z.object({
  model_type: z.string().max(100),
  hidden_size: size(131_072),
  num_hidden_layers: size(4096),
  num_attention_heads: size(4096),
  num_key_value_heads: size(4096).nullish(),
  head_dim: size(1024).nullish(),
  intermediate_size: size(1_048_576),
  vocab_size: size(4_194_304),
  max_position_embeddings: size(33_554_432).optional(),
  rms_norm_eps: z.number().positive().max(1).default(1e-6),
  hidden_act: z.string().max(100).default('silu'),
  tie_word_embeddings: flag,
  attention_bias: flag,
  mlp_bias: flag,
  rope_theta: z.unknown().optional(),
  rope_scaling: z.unknown().optional(),
  rope_parameters: z.unknown().optional(),
  partial_rotary_factor: z.number().nullish(),
  sliding_window: size(33_554_432).nullish(),
  use_sliding_window: flag,
  max_window_layers: z.int().min(0).max(100_000).nullish(),
  layer_types: z.array(z.string().max(100)).max(4096).nullish(),
});
type RawConfig = z.infer<typeof CONFIG>;

/** Keys whose presence means other arithmetic than a plain decoder's. */
const FOREIGN_KEYS: Readonly<Record<string, string>> = {
  quantization_config: 'quantized weights (quantization_config)',
  num_experts: 'mixture of experts (num_experts)',
  num_local_experts: 'mixture of experts (num_local_experts)',
  compression_config: 'compressed weights (compression_config)',
};

/** Values that transformers assumes for a missing key; `null`: as many as there are heads. */
const DEFAULTS: Readonly<Record<DecoderFamily, { maxPositions: number; kvHeads: number | null }>> = {
  llama: { maxPositions: 2048, kvHeads: null },
  mistral: { maxPositions: 131_072, kvHeads: 8 },
  qwen2: { maxPositions: 32_768, kvHeads: 32 },
  qwen3: { maxPositions: 32_768, kvHeads: 32 },
};
/** `MistralConfig` and the Qwen configs assume this window for a missing `sliding_window` (null means none). */
const DEFAULT_WINDOW = 4096;
/** `Qwen3Config` does not derive a missing `head_dim` from the hidden size. */
const QWEN3_HEAD_DIM = 128;
const DEFAULT_MAX_WINDOW_LAYERS = 28;

const OTHER_ENGINES =
  'the embedded engine runs Llama, Mistral, Qwen2 and Qwen3; others can run it from the files of the store or from what calyx fetch writes: ' +
  'Petals (Llama, Mixtral, Falcon, BLOOM), vLLM, transformers, or llama.cpp after a conversion to GGUF';

/** The error for a model which the embedded engine does not run; says what is unsupported and which engines exist. */
export function unsupportedModel(what: string, file: string): CalyxError {
  return new CalyxError('unsupported', `${file}: the embedded engine does not run ${what}`, {
    hint: OTHER_ENGINES,
  });
}

/**
 * Reads config.json of a Llama, Mistral, Qwen2 or Qwen3 model, in the older form (`rope_theta`, `rope_scaling`) or the newer
 * (`rope_parameters`), with the defaults of transformers 5.
 *
 * @param text the file's content
 * @param file how errors name it
 * @throws CalyxError `invalid-model` if it is no such file or contradicts itself, `unsupported` for anything that this
 * engine would not compute exactly
 */
export function parseDecoderConfig(text: string, file = 'config.json'): DecoderConfig {
  const json = parseJsonFile({ name: file, text }, MAX_CONFIG_CHARS);
  const family = familyOf(json, file);
  for (const [key, what] of Object.entries(FOREIGN_KEYS)) {
    if (Object.hasOwn(json, key) && json[key] !== null) throw unsupportedModel(what, file);
  }
  const parsed = CONFIG.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new CalyxError(
      'invalid-model',
      `${file}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'wrong value'}`,
      { hint: 'take the file as the model was published' },
    );
  }
  return resolve(parsed.data, family, file);
}

function resolve(raw: RawConfig, family: DecoderFamily, file: string): DecoderConfig {
  if (raw.hidden_act !== 'silu' && raw.hidden_act !== 'swish') {
    throw unsupportedModel(`the activation '${raw.hidden_act}' (hidden_act)`, file);
  }
  if ((raw.partial_rotary_factor ?? 1) !== 1)
    throw unsupportedModel('partial rotary embeddings (partial_rotary_factor)', file);
  const defaults = DEFAULTS[family];
  const headCount = raw.num_attention_heads;
  const kvHeadCount =
    raw.num_key_value_heads === undefined
      ? (defaults.kvHeads ?? headCount)
      : (raw.num_key_value_heads ?? headCount);
  if (headCount % kvHeadCount !== 0) {
    throw new CalyxError(
      'invalid-model',
      `${file}: ${headCount} attention heads cannot share ${kvHeadCount} key/value heads (num_key_value_heads)`,
    );
  }
  const headDim = headDimOf(raw, family, file);
  if (headDim % 8 !== 0)
    throw unsupportedModel(`heads of ${headDim} values (head_dim must be a multiple of 8)`, file);
  const ownBias = raw.attention_bias === true && (family === 'llama' || family === 'qwen3');
  return {
    family,
    blockCount: raw.num_hidden_layers,
    hiddenSize: raw.hidden_size,
    headCount,
    kvHeadCount,
    headDim,
    intermediateSize: raw.intermediate_size,
    vocabSize: raw.vocab_size,
    maxPositions: raw.max_position_embeddings ?? defaults.maxPositions,
    normEpsilon: raw.rms_norm_eps,
    rope: parseRope(raw, file),
    tiedHead: raw.tie_word_embeddings === true,
    qkvBias: family === 'qwen2' || ownBias,
    outputBias: ownBias,
    mlpBias: family === 'llama' && raw.mlp_bias === true,
    qkNorm: family === 'qwen3',
    windows: windowsOf(raw, family, file),
  };
}

function familyOf(json: Record<string, unknown>, file: string): DecoderFamily {
  const type = json['model_type'];
  if (typeof type !== 'string')
    throw new CalyxError('invalid-model', `${file} has no model_type`, {
      hint: 'take the file as the model was published',
    });
  const family = DECODER_FAMILIES.find((known) => known === type);
  if (family === undefined) throw unsupportedModel(`models of type '${type.slice(0, 100)}'`, file);
  // A class of its own (a classifier, a vendor's fork) under a known model_type computes something else.
  const architectures = json['architectures'];
  const expected = `${family.charAt(0).toUpperCase()}${family.slice(1)}ForCausalLM`;
  if (Array.isArray(architectures) && architectures.length > 0 && !architectures.includes(expected))
    throw unsupportedModel(`the architecture '${String(architectures[0]).slice(0, 100)}'`, file);
  return family;
}

function headDimOf(raw: RawConfig, family: DecoderFamily, file: string): number {
  if (raw.head_dim !== undefined && raw.head_dim !== null) return raw.head_dim;
  if (family === 'qwen3' && raw.head_dim === undefined) return QWEN3_HEAD_DIM;
  const headDim = raw.hidden_size / raw.num_attention_heads;
  if (Number.isInteger(headDim)) return headDim;
  throw new CalyxError(
    'invalid-model',
    `${file}: ${raw.num_attention_heads} heads do not divide the hidden size ${raw.hidden_size} and head_dim is missing`,
  );
}

/** Mistral: every block, if there is a window. Qwen: the blocks that `layer_types` names, else from `max_window_layers` on. */
function windowsOf(raw: RawConfig, family: DecoderFamily, file: string): (number | null)[] {
  const blocks = Array.from({ length: raw.num_hidden_layers }, (_, block) => block);
  const types = raw.layer_types ?? undefined;
  if (types !== undefined && types.length !== raw.num_hidden_layers)
    throw new CalyxError(
      'invalid-model',
      `${file}: layer_types has ${types.length} entries for ${raw.num_hidden_layers} blocks`,
    );
  const unknown = types?.find((type) => type !== 'full_attention' && type !== 'sliding_attention');
  if (unknown !== undefined) throw unsupportedModel(`blocks of type '${unknown}' (layer_types)`, file);
  const window = raw.sliding_window === undefined ? DEFAULT_WINDOW : raw.sliding_window;

  if (family === 'qwen2' || family === 'qwen3') {
    const used = raw.use_sliding_window === true ? window : null;
    const first = raw.max_window_layers ?? DEFAULT_MAX_WINDOW_LAYERS;
    const slides = (block: number): boolean =>
      types === undefined ? used !== null && block >= first : types[block] === 'sliding_attention';
    if (used === null && blocks.some(slides))
      throw new CalyxError(
        'invalid-model',
        `${file}: layer_types has sliding blocks but no window is in use`,
      );
    return blocks.map((block) => (slides(block) ? used : null));
  }
  const all = family === 'mistral' ? window : null;
  // transformers takes no layer_types for these two families, so a file that has them must say the same.
  const expected = all === null ? 'full_attention' : 'sliding_attention';
  if (types?.some((type) => type !== expected) === true)
    throw unsupportedModel(`${family} models with mixed layer_types`, file);
  return blocks.map(() => all);
}
