import * as hub from '@huggingface/tokenizers';
import { CalyxError, errorMessage } from '../core/errors.js';
import { parseTokenizerConfig, type TokenizerConfig } from './special-tokens.js';
import { parseJsonFile, type TextFile } from './text-file.js';
import { TextStream } from './text-stream.js';

/** The largest published tokenizer.json have about 35 MB. */
const MAX_TOKENIZER_CHARS = 128 * 1024 * 1024;

/** What is used of the library's class. Its own declarations import without file extensions, which this compiler cannot follow. */
interface HubTokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: (number | undefined)[] };
  decode(
    ids: readonly number[],
    options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean },
  ): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_added_tokens_decoder(): Map<number, { special: boolean }>;
}
const { Tokenizer: HubTokenizer } = hub as unknown as {
  Tokenizer: new (tokenizer: object, config: object) => HubTokenizer;
};

const TOKENS_HINT = 'without it the model still runs on token ids (--tokens)';

/** Settings of {@link Tokenizer.encode}. */
export interface EncodeOptions {
  /**
   * Add the special tokens that begin a raw prompt. A rendered chat already has them.
   * @default true
   */
  readonly addSpecial?: boolean;
}

/** Text to token ids and back, from the model's own files. */
export class Tokenizer {
  readonly #hub: HubTokenizer;
  readonly #config: TokenizerConfig;
  readonly #specialIds: ReadonlySet<number>;
  readonly #file: string;

  /**
   * @param tokenizer tokenizer.json
   * @param config tokenizer_config.json, if the model has one
   * @throws CalyxError `invalid-model` naming the file
   */
  constructor(tokenizer: TextFile, config?: TextFile) {
    this.#file = tokenizer.name;
    this.#config = parseTokenizerConfig(config);
    const json = parseJsonFile(tokenizer, MAX_TOKENIZER_CHARS);
    checkModelType(json['model'], tokenizer.name);
    try {
      this.#hub = new HubTokenizer(json, this.#config.json);
      this.#specialIds = new Set(
        [...this.#hub.get_added_tokens_decoder()].filter(([, token]) => token.special).map(([id]) => id),
      );
    } catch (error) {
      throw new CalyxError(
        'invalid-model',
        `${tokenizer.name} is no usable tokenizer: ${errorMessage(error)}`,
        {
          hint: TOKENS_HINT,
          cause: error,
        },
      );
    }
  }

  /**
   * The token ids of a text. With `addSpecial` they begin with the token that tokenizer_config.json names as `bos_token`,
   * exactly once, unless `add_bos_token` is false: also if tokenizer.json has no rule for it, or the text begins with it.
   *
   * @throws CalyxError `invalid-model` if the tokenizer cannot express the text
   */
  encode(text: string, { addSpecial = true }: EncodeOptions = {}): number[] {
    const ids = this.#encode(text, addSpecial);
    const { bosToken, addBosToken } = this.#config;
    const bos = bosToken === undefined ? undefined : this.#hub.token_to_id(bosToken);
    if (!addSpecial || !addBosToken || bosToken === undefined || bos === undefined) return ids;
    if (ids[0] !== bos) return [bos, ...ids];
    const isDoubled = ids[1] === bos && text.startsWith(bosToken) && !text.startsWith(bosToken + bosToken);
    return isDoubled ? ids.slice(1) : ids;
  }

  /** The text of token ids, without special tokens; ids that the vocabulary lacks are passed over. */
  decode(ids: readonly number[]): string {
    const known = ids.filter((id) => !this.#specialIds.has(id) && this.#hub.id_to_token(id) !== undefined);
    if (known.length === 0) return '';
    // Cleaning up spaces would make a text depend on what follows it.
    return this.#hub.decode(known, { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  }

  /**
   * Turns token ids into text as they come.
   *
   * @param context ids before the first, such as a raw prompt that the text continues: some tokenizers drop the space at the
   * beginning of a text, and then this keeps it. Their own text is not given out
   */
  stream(context: readonly number[] = []): TextStream {
    return new TextStream((ids) => this.decode(ids), context);
  }

  #encode(text: string, addSpecial: boolean): number[] {
    let ids: (number | undefined)[];
    try {
      ids = this.#hub.encode(text, { add_special_tokens: addSpecial }).ids;
    } catch (error) {
      throw new CalyxError(
        'invalid-model',
        `${this.#file} does not encode the text: ${errorMessage(error)}`,
        {
          cause: error,
        },
      );
    }
    if (ids.every((id) => id !== undefined)) return ids;
    throw new CalyxError(
      'invalid-model',
      `${this.#file} has no token for a part of the text, nor one for unknown parts`,
    );
  }
}

/** The library guesses at a model type that it does not know, and would then give wrong tokens. */
function checkModelType(model: unknown, file: string): void {
  const { type } = (model ?? {}) as Record<string, unknown>;
  if (type === undefined || type === 'BPE' || type === 'Unigram' || type === 'WordPiece') return;
  throw new CalyxError(
    'invalid-model',
    `${file}: tokenizers of type ${JSON.stringify(type).slice(0, 100)} are unknown`,
    {
      hint: TOKENS_HINT,
    },
  );
}
