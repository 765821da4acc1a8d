import type { InferenceSession, Tensor } from 'onnxruntime-common';
import { formatBlockRange } from '../core/block-range.js';
import { systemClock, type Clock } from '../core/clock.js';
import { CalyxError, errorMessage } from '../core/errors.js';
import { formatSize, plural } from '../core/units.js';
import type { TensorLocation } from '../weights/tensor.js';
import type { DecoderConfig } from './decoder-config.js';
import { buildDecoderGraph, GraphNames } from './graph/decoder-graph.js';
import { StageWeights, type StageShape } from './graph/stage-weights.js';
import { KvCache, kvBytesPerToken } from './kv-cache.js';
import { inverseFrequencies, ropeTable } from './rope.js';
import { createSession, loadRuntime } from './runtime.js';
import type { StageInput, StageOutput } from './stage-link.js';

/** Limits of a stage. */
export interface StageLimits {
  /** Sessions open at once. @default 16 */
  readonly maxSessions: number;
  /** Bytes of all KV caches, counted at each session's full length when it opens. @default 2 GiB */
  readonly kvBudgetBytes: number;
  /** A session that nobody used for so long is closed. @default 600_000 */
  readonly idleTimeoutMs: number;
  /** Tokens in one forward. @default 512 */
  readonly maxForwardTokens: number;
  /** Threads for the arithmetic of this stage. @default 1 */
  readonly threads: number;
}

export const DEFAULT_STAGE_LIMITS: StageLimits = {
  maxSessions: 16,
  kvBudgetBytes: 2 * 1024 ** 3,
  idleTimeoutMs: 600_000,
  maxForwardTokens: 512,
  threads: 1,
};

/** What a {@link Stage} is made of. Plain data, so that it can be sent to a worker thread. */
export interface StageOptions extends StageShape, Partial<StageLimits> {
  readonly config: DecoderConfig;
  /** Where the tensors' files lie, as an absolute path. They must be plain files, or links that stay inside. */
  readonly directory: string;
  readonly tensors: readonly TensorLocation[];
}

interface Session {
  readonly cache: KvCache;
  readonly maxTokens: number;
  /** Positions whose keys and values are in the cache. */
  length: number;
  usedAt: number;
}

/**
 * A contiguous range of blocks, loaded in onnxruntime, with a KV cache for each session. Blocks the thread while it computes.
 * Calls of `forward` run one after the other, in the order in which they came.
 */
export class Stage {
  readonly #options: StageOptions;
  readonly #limits: StageLimits;
  readonly #clock: Clock;
  readonly #engine: InferenceSession;
  readonly #frequencies: Float32Array;
  readonly #sessions = new Map<string, Session>();
  #tail: Promise<unknown> = Promise.resolve();

  private constructor(options: StageOptions, clock: Clock, engine: InferenceSession) {
    this.#options = options;
    this.#limits = { ...DEFAULT_STAGE_LIMITS, ...options };
    this.#clock = clock;
    this.#engine = engine;
    this.#frequencies = inverseFrequencies(options.config.rope, options.config.headDim);
  }

  /**
   * Checks the weights and loads them.
   *
   * @throws CalyxError as {@link StageWeights} does; `unreadable` if onnxruntime refuses the files
   */
  static async load(options: StageOptions, clock: Clock = systemClock): Promise<Stage> {
    const { config, blocks, directory, threads = DEFAULT_STAGE_LIMITS.threads } = options;
    if (blocks.start < 0 || blocks.end > config.blockCount || blocks.start >= blocks.end) {
      throw new CalyxError(
        'usage',
        `there are no blocks ${formatBlockRange(blocks)} in a model of ${config.blockCount}`,
      );
    }
    const weights = new StageWeights(config, options, options.tensors);
    const model = buildDecoderGraph(config, options, weights);
    try {
      return new Stage(options, clock, await createSession(model, { directory, threads }));
    } catch (error) {
      if (error instanceof CalyxError) throw error;
      throw new CalyxError(
        'unreadable',
        `loading blocks ${formatBlockRange(blocks)} from ${directory}: ${errorMessage(error)}`,
        { hint: 'check that the weight files are plain files, complete and readable', cause: error },
      );
    }
  }

  /** Sessions that are open now. */
  get sessionCount(): number {
    return this.#sessions.size;
  }

  /** As {@link StageLink.open}. */
  open(sessionId: string, maxTokens: number): void {
    this.expire();
    const { config, blocks } = this.#options;
    if (this.#sessions.has(sessionId))
      throw new CalyxError('exists', `the session ${sessionId} is already open`);
    if (!Number.isSafeInteger(maxTokens) || maxTokens < 1)
      throw new CalyxError('usage', 'a session needs room for at least one token');
    if (maxTokens > config.maxPositions) {
      throw new CalyxError(
        'usage',
        `a context of ${maxTokens} tokens is longer than the model's ${config.maxPositions} (max_position_embeddings)`,
        { hint: 'shorten the prompt or ask for fewer tokens' },
      );
    }
    if (this.#sessions.size >= this.#limits.maxSessions) {
      throw new CalyxError(
        'busy',
        `${plural(this.#sessions.size, 'session')} are open, the most this stage takes`,
        {
          hint: 'try again when one has ended',
        },
      );
    }
    const perToken = kvBytesPerToken(config, blocks);
    let reserved = maxTokens * perToken;
    const needed = reserved;
    for (const session of this.#sessions.values()) reserved += session.maxTokens * perToken;
    if (reserved > this.#limits.kvBudgetBytes) {
      throw new CalyxError(
        'busy',
        `the session needs ${formatSize(needed)} of KV cache; with the open ones that is above the stage's ${formatSize(this.#limits.kvBudgetBytes)}`,
        { hint: 'ask for fewer tokens, or try again when another session has ended' },
      );
    }
    this.#sessions.set(sessionId, {
      cache: new KvCache(config, blocks, maxTokens),
      maxTokens,
      length: 0,
      usedAt: this.#clock.now(),
    });
  }

  /** As {@link StageLink.forward}; the input is not handed over. */
  forward(sessionId: string, position: number, input: StageInput): Promise<StageOutput> {
    const turn = this.#tail.then(() => this.#forward(sessionId, position, input));
    this.#tail = turn.catch(() => undefined);
    return turn;
  }

  /** As {@link StageLink.close}. */
  close(sessionId: string): void {
    this.#sessions.delete(sessionId);
  }

  /** Closes the sessions that nobody used for `idleTimeoutMs`. */
  expire(): void {
    const oldest = this.#clock.now() - this.#limits.idleTimeoutMs;
    for (const [id, session] of this.#sessions) if (session.usedAt < oldest) this.#sessions.delete(id);
  }

  /** Frees the weights and all caches. */
  async dispose(): Promise<void> {
    await this.#tail;
    this.#sessions.clear();
    await this.#engine.release();
  }

  async #forward(sessionId: string, position: number, input: StageInput): Promise<StageOutput> {
    this.expire();
    const session = this.#sessions.get(sessionId);
    if (session === undefined) {
      throw new CalyxError('not-found', `the session ${sessionId} is not open on this stage`, {
        hint: `it was closed, or nobody used it for ${this.#limits.idleTimeoutMs / 1000} s; start again`,
      });
    }
    const count = checkInput(this.#options, this.#limits, input);
    if (!Number.isSafeInteger(position) || position < 0 || position > session.length) {
      throw new CalyxError(
        'usage',
        `the session has ${plural(session.length, 'position')}; position ${position} would leave a gap`,
        { hint: 'send the positions in order' },
      );
    }
    const total = position + count;
    if (total > session.maxTokens) {
      throw new CalyxError(
        'usage',
        `the session was opened for ${plural(session.maxTokens, 'token')}; position ${total - 1} is past them`,
        { hint: 'open it with more tokens' },
      );
    }
    session.cache.reserve(total, position);
    // Set back first: a step that fails half way leaves the rows from `position` on undefined.
    session.length = position;
    const output = await this.#run(session.cache, position, count, input);
    session.length = total;
    session.usedAt = this.#clock.now();
    return output;
  }

  async #run(cache: KvCache, position: number, count: number, input: StageInput): Promise<StageOutput> {
    const { Tensor: OrtTensor } = loadRuntime();
    const { config, head } = this.#options;
    const half = config.headDim / 2;
    const { cos, sin } = ropeTable(this.#frequencies, position, count);
    const total = position + count;
    const feeds: Record<string, Tensor> = {
      [GraphNames.cos]: new OrtTensor('float32', cos, [count, half]),
      [GraphNames.sin]: new OrtTensor('float32', sin, [count, half]),
      [GraphNames.lastKey]: new OrtTensor('int32', Int32Array.of(total - 1), [1]),
      [GraphNames.totalLength]: new OrtTensor('int32', Int32Array.of(total), []),
    };
    if (input.kind === 'tokens') feeds[GraphNames.inputIds] = new OrtTensor('int64', input.data, [1, count]);
    else feeds[GraphNames.hiddenIn] = new OrtTensor('float32', input.data, [1, count, config.hiddenSize]);
    const wanted = head ? GraphNames.logits : GraphNames.hiddenOut;
    const fetches: Record<string, Tensor | null> = { [wanted]: null };
    cache.bind(feeds, fetches);
    const results = await this.#engine.run(feeds, fetches);
    const result = results[wanted] as Tensor;
    // A copy, because the runtime's own memory cannot be handed to another thread.
    const data = new Float32Array(result.data as Float32Array);
    return { kind: head ? 'logits' : 'hidden', data };
  }
}

/** Checks kind, size and token ids; returns the number of tokens. */
function checkInput({ config, embed }: StageOptions, limits: StageLimits, input: StageInput): number {
  const wrong = (what: string): CalyxError => new CalyxError('usage', what);
  const kind = embed ? 'tokens' : 'hidden';
  if (input.kind !== kind) {
    throw wrong(
      embed ? 'this stage embeds: it takes token ids' : 'this stage does not embed: it takes hidden states',
    );
  }
  const count = embed ? input.data.length : input.data.length / config.hiddenSize;
  if (!Number.isInteger(count) || count < 1)
    throw wrong(`${input.data.length} values are no whole number of positions of ${config.hiddenSize}`);
  if (count > limits.maxForwardTokens)
    throw wrong(`${count} tokens in one call; the stage takes at most ${limits.maxForwardTokens}`);
  if (input.kind === 'tokens') {
    for (const id of input.data)
      if (id < 0n || id >= BigInt(config.vocabSize))
        throw wrong(`token ${id} is not in the vocabulary of ${config.vocabSize}`);
  }
  return count;
}
