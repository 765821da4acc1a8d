import { CalyxError } from '../core/errors.js';
import { parseJsonFile, type TextFile } from './text-file.js';

/** tokenizer_config.json may carry a chat template and thousands of added tokens. */
const MAX_CONFIG_CHARS = 16 * 1024 * 1024;
const MAX_EOS_IDS = 1000;

/** What tokenizer_config.json says, as far as it is used. */
export interface TokenizerConfig {
  readonly json: Record<string, unknown>;
  readonly bosToken: string | undefined;
  readonly eosToken: string | undefined;
  /** False only if the file says so. */
  readonly addBosToken: boolean;
}

/** Reads tokenizer_config.json; without one, nothing is known. Throws CalyxError `invalid-model` naming the file. */
export function parseTokenizerConfig(file: TextFile | undefined): TokenizerConfig {
  const json = file === undefined ? {} : parseJsonFile(file, MAX_CONFIG_CHARS);
  return {
    json,
    bosToken: tokenContent(json['bos_token']),
    eosToken: tokenContent(json['eos_token']),
    addBosToken: json['add_bos_token'] !== false,
  };
}

/** A special token is written as a string or as an object with its `content`. */
function tokenContent(value: unknown): string | undefined {
  const content =
    typeof value === 'object' && value !== null ? (value as Record<string, unknown>)['content'] : value;
  return typeof content === 'string' && content !== '' ? content : undefined;
}

/**
 * The token ids that end a text: `eos_token_id` (a number or a list) of generation_config.json, else of config.json.
 *
 * @returns ids, possibly none
 * @throws CalyxError `invalid-model` naming the file
 */
export function readEosIds(generationConfig: TextFile | undefined, config: TextFile): number[] {
  for (const file of generationConfig === undefined ? [config] : [generationConfig, config]) {
    const value = parseJsonFile(file, MAX_CONFIG_CHARS)['eos_token_id'];
    if (value === undefined || value === null) continue;
    const ids: unknown[] = Array.isArray(value) ? value : [value];
    if (ids.length > MAX_EOS_IDS || !ids.every((id) => Number.isSafeInteger(id) && (id as number) >= 0))
      throw new CalyxError(
        'invalid-model',
        `${file.name}: eos_token_id is neither a token id nor a list of them`,
      );
    return ids as number[];
  }
  return [];
}
