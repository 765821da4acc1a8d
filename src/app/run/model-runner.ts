import type { StoreAccess } from '../../core/access.js';
import { formatBlockRange, missingBlocks } from '../../core/block-range.js';
import { CalyxError, errorMessage, isCalyxError } from '../../core/errors.js';
import { formatModelName, type ModelSpec } from '../../core/names.js';
import type { ResolvedRevision } from '../../catalog/catalog-reader.js';
import { readChatTemplate, renderChat } from '../../inference/chat-template.js';
import { parseDecoderConfig, type DecoderConfig } from '../../inference/decoder-config.js';
import { generate, type GenerationStats } from '../../inference/generate.js';
import { createSampler, type SamplingOptions } from '../../inference/sampling.js';
import { readEosIds } from '../../inference/special-tokens.js';
import { StageClient } from '../../inference/stage-client.js';
import type { TextFile } from '../../inference/text-file.js';
import { Tokenizer } from '../../inference/tokenizer.js';
import { StoreClient, type NodeOffer } from '../../protocols/http/store-client.js';
import { connectRoute } from './connect-route.js';
import { readModelFile } from './model-files.js';
import { openNodeAccess, type NodeAccess } from './node-access.js';

/** What to generate from: text, wrapped in the chat template unless `raw`, or token ids as they are. */
export type Prompt =
  { readonly text: string; readonly raw: boolean } | { readonly tokens: readonly number[] };

/** Options of {@link ModelRunner.run}. */
export interface RunOptions extends SamplingOptions {
  readonly maxTokens: number;
  readonly signal: AbortSignal;
  /** Called with each piece of text as it becomes certain. */
  readonly onText?: (piece: string) => void;
}

/** What was generated. */
export interface RunResult {
  /** The generated ids, the one that ended the text included. */
  readonly tokens: readonly number[];
  /** Empty for a model without a tokenizer. */
  readonly text: string;
  readonly stats: Readonly<GenerationStats>;
}

/** How long a node may take to say that it is alive, when another call to it or its neighbours has failed. */
const ALIVE_MS = 2_000;

interface ModelText {
  readonly config: TextFile;
  readonly tokenizer: Tokenizer | undefined;
  readonly tokenizerConfig: TextFile | undefined;
  readonly chatTemplate: TextFile | undefined;
  readonly eosIds: readonly number[];
}

/** Generates text with a model that nodes serve: finds them through the stores, and keeps its connections between prompts. */
export class ModelRunner {
  readonly revision: ResolvedRevision;
  /** The nodes that a prompt passes, in order. */
  readonly route: readonly NodeOffer[];
  readonly #stores: StoreClient;
  readonly #access: NodeAccess;
  readonly #stages: readonly StageClient[];
  readonly #config: DecoderConfig;
  readonly #text: ModelText;

  private constructor(
    stores: StoreClient,
    access: NodeAccess,
    revision: ResolvedRevision,
    route: readonly NodeOffer[],
    stages: readonly StageClient[],
    config: DecoderConfig,
    text: ModelText,
  ) {
    this.revision = revision;
    this.route = route;
    this.#stores = stores;
    this.#access = access;
    this.#stages = stages;
    this.#config = config;
    this.#text = text;
  }

  /**
   * Finds the nodes of a model.
   *
   * @throws CalyxError `not-found` if the stores have no such model, `unavailable` saying which blocks nobody serves and how to
   * serve them, `unsupported` if the embedded engine does not run it
   */
  static async open(spec: ModelSpec, access: StoreAccess, signal: AbortSignal): Promise<ModelRunner> {
    const stores = new StoreClient(access);
    let nodeAccess: NodeAccess | undefined;
    try {
      const revision = await stores.resolve(spec, signal);
      nodeAccess = await openNodeAccess(access, spec.model, signal);
      const text = await readText(stores, revision, signal);
      const config = parseDecoderConfig(
        text.config.text,
        `config.json of ${formatModelName(revision.model)}`,
      );
      const nodes = await stores.nodes(revision.model, signal);
      const model = formatModelName(revision.model);
      const target = {
        model,
        blockCount: config.blockCount,
        store: access.urls.map((url) => url.href.replace(/\/$/, '')).join(','),
      };
      const offers = nodes.filter((node) => node.revision === revision.revision);
      const route = await connectRoute(offers, target, revision.revision, nodeAccess.reach, signal);
      return new ModelRunner(stores, nodeAccess, revision, route.nodes, route.stages, config, text);
    } catch (error) {
      await nodeAccess?.close();
      await stores.close();
      throw error;
    }
  }

  /** False if only token ids go in and come out. */
  get hasTokenizer(): boolean {
    return this.#text.tokenizer !== undefined;
  }

  /**
   * Generates.
   *
   * @throws CalyxError `usage` for a prompt or options that do not fit, `unavailable` if a node left
   */
  async run(prompt: Prompt, options: RunOptions): Promise<RunResult> {
    const ids = await this.#encode(prompt, options.signal);
    const { maxTokens, signal, onText } = options;
    const { eosIds, tokenizer } = this.#text;
    const sampler = createSampler(options);
    const generation = generate({
      stages: this.#stages,
      config: this.#config,
      prompt: ids,
      maxTokens,
      eosIds,
      sampler,
      signal,
    });
    // A raw prompt goes on as it is; an answer begins anew.
    const stream = tokenizer?.stream('text' in prompt && !prompt.raw ? [] : ids);
    const tokens: number[] = [];
    let text = '';
    const emit = (piece: string): void => {
      text += piece;
      if (piece !== '') onText?.(piece);
    };
    try {
      for await (const token of generation) {
        tokens.push(token);
        if (stream !== undefined) emit(stream.push(token));
      }
    } catch (error) {
      signal.throwIfAborted();
      throw await this.#explain(error);
    }
    if (stream !== undefined) emit(stream.end());
    return { tokens, text, stats: generation.stats };
  }

  async close(): Promise<void> {
    await Promise.all(this.#stages.map((stage) => stage.disconnect()));
    await this.#access.close();
    await this.#stores.close();
  }

  async #encode(prompt: Prompt, signal: AbortSignal): Promise<readonly number[]> {
    if ('tokens' in prompt) return prompt.tokens;
    const { tokenizer, chatTemplate, tokenizerConfig } = this.#text;
    if (tokenizer === undefined) {
      throw new CalyxError('unsupported', `${formatModelName(this.revision.model)} has no tokenizer.json`, {
        hint: 'give token ids as the prompt: --tokens 5,17,3',
      });
    }
    if (prompt.raw) return tokenizer.encode(prompt.text);
    const template = readChatTemplate({ template: chatTemplate, tokenizerConfig });
    const rendered = await renderChat(template, [{ role: 'user', content: prompt.text }], { signal });
    return tokenizer.encode(rendered, { addSpecial: false });
  }

  /** After a failure: which nodes still answer, and which blocks are missing without the others, or that they let us in no more. */
  async #explain(error: unknown): Promise<unknown> {
    if (!isCalyxError(error, 'unavailable', 'timeout', 'not-found')) return error;
    const model = formatModelName(this.revision.model);
    const identity = { model, revision: this.revision.revision };
    const refusals: CalyxError[] = [];
    const alive = await Promise.all(
      this.route.map(async (node) => {
        try {
          const stage = await StageClient.connect(node.url, identity, {
            ...this.#access.reach(node.url),
            controlTimeoutMs: ALIVE_MS,
          });
          await stage.disconnect();
          return [node];
        } catch (failure) {
          if (isCalyxError(failure, 'unauthenticated', 'refused')) refusals.push(failure);
          return [];
        }
      }),
    );
    const [missing] = missingBlocks(
      alive.flat().map((node) => node.blocks),
      this.#config.blockCount,
    );
    if (missing === undefined) return error;
    // A node cuts off whose token has ended; only when it is asked again it can say why.
    const [refusal] = refusals;
    if (refusal !== undefined) return refusal;
    const range = formatBlockRange(missing);
    return new CalyxError('unavailable', `the blocks ${range} are no longer served: ${errorMessage(error)}`, {
      hint: `serve them again: calyx node --store ${this.#stores.clients.map((client) => client.url).join(',')} --model ${model} --blocks ${range}`,
      cause: error,
    });
  }
}

async function readText(
  stores: StoreClient,
  { manifest, model }: ResolvedRevision,
  signal: AbortSignal,
): Promise<ModelText> {
  const names = [
    'config.json',
    'generation_config.json',
    'tokenizer.json',
    'tokenizer_config.json',
    'chat_template.jinja',
  ];
  const [config, generationConfig, tokenizer, tokenizerConfig, chatTemplate] = await Promise.all(
    names.map((name) => readModelFile(stores, manifest, name, signal)),
  );
  if (config === undefined)
    throw new CalyxError('unsupported', `${formatModelName(model)} has no config.json`, {
      hint: 'publish it with one',
    });
  return {
    config,
    tokenizerConfig,
    chatTemplate,
    tokenizer: tokenizer === undefined ? undefined : new Tokenizer(tokenizer, tokenizerConfig),
    eosIds: readEosIds(generationConfig, config),
  };
}
