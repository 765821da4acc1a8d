import { CalyxError } from '../core/errors.js';
import { isByteCount } from '../core/byte-range.js';

/** What the weight map needs of `config.json`. */
export interface ModelConfig {
  readonly modelType: string | undefined;
  /** Number of decoder blocks that the config claims. */
  readonly blockCount: number | undefined;
  /** True if the config says that the head shares the embedding table. */
  readonly tiedHead: boolean;
}

/** What holds if a directory has no `config.json`. */
export const NO_CONFIG: ModelConfig = { modelType: undefined, blockCount: undefined, tiedHead: false };

/** The names under which families write their number of blocks. */
const BLOCK_COUNT_KEYS = ['num_hidden_layers', 'n_layer', 'n_layers', 'num_layers'];

/**
 * Reads `config.json`. Multimodal models keep the decoder's values under `text_config`.
 *
 * @param file names the file in errors
 * @throws CalyxError `invalid-model`, or `unsupported` for encoder-decoder models
 */
export function parseModelConfig(text: string, file: string): ModelConfig {
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch (error) {
    throw new CalyxError('invalid-model', `${file} is not valid JSON`, {
      hint: 'download it again',
      cause: error,
    });
  }
  if (!isRecord(root)) throw new CalyxError('invalid-model', `${file} is not a JSON object`);
  if (root['is_encoder_decoder'] === true) {
    throw new CalyxError('unsupported', `${file}: encoder-decoder models cannot be cut into blocks`, {
      hint: 'Calyx serves decoder models (Llama, Mistral, Qwen, DeepSeek, Gemma, Falcon, ...)',
    });
  }
  const nested = ['text_config', 'llm_config', 'language_config'].map((key) => root[key]).find(isRecord);
  const decoder = nested ?? root;
  const modelType = decoder['model_type'] ?? root['model_type'];
  const blockCount = BLOCK_COUNT_KEYS.map((key) => decoder[key]).find((value) => value !== undefined);
  if (blockCount !== undefined && (!isByteCount(blockCount) || blockCount === 0)) {
    throw new CalyxError('invalid-model', `${file}: the number of blocks is ${JSON.stringify(blockCount)}`);
  }
  return {
    modelType: typeof modelType === 'string' ? modelType : undefined,
    blockCount,
    tiedHead: (decoder['tie_word_embeddings'] ?? root['tie_word_embeddings']) === true,
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
