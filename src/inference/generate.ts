import { randomUUID } from 'node:crypto';
import { formatBlockRange } from '../core/block-range.js';
import { systemClock, type Clock } from '../core/clock.js';
import { CalyxError } from '../core/errors.js';
import { linkedController, withDeadline } from './deadline.js';
import { prefill, step } from './pipeline.js';
import { greedy, type Sampler } from './sampling.js';
import type { StageLink } from './stage-link.js';

/** Settings of {@link generate}. */
export interface GenerateOptions {
  /** The pipeline in order: joining ranges from block 0 to the last, see `findRoute`. */
  readonly stages: readonly StageLink[];
  /** The model's limits, from its DecoderConfig. */
  readonly config: { readonly blockCount: number; readonly vocabSize: number; readonly maxPositions: number };
  /** Token ids; at least one. */
  readonly prompt: readonly number[];
  /** At most this many tokens are generated; fewer if the model's context ends before. */
  readonly maxTokens: number;
  /** Generation ends after one of these, which is still yielded. @default none */
  readonly eosIds?: readonly number[];
  /** @default greedy */
  readonly sampler?: Sampler;
  readonly signal?: AbortSignal;
  /** The prompt is sent in pieces of at most so many tokens; pieces overlap on different stages. @default 256 */
  readonly chunkTokens?: number;
  /** @default systemClock */
  readonly clock?: Clock;
}

/** How a generation went; filled in while it runs. */
export interface GenerationStats {
  promptTokens: number;
  generatedTokens: number;
  /** From the start to the first token. */
  prefillSeconds: number;
  /** What the tokens after the first took; the consumer's own time between them does not count. */
  decodeSeconds: number;
  /** Of the tokens after the first; of the first alone if there are no others. */
  tokensPerSecond: number;
  /** `eos`: the model ended; `length`: maxTokens or the context was reached; undefined while it runs or if it failed. */
  stopReason: 'eos' | 'length' | undefined;
}

/** The token ids one by one, and the timing. */
export interface Generation extends AsyncGenerator<number, void, undefined> {
  readonly stats: Readonly<GenerationStats>;
}

const DEFAULT_CHUNK_TOKENS = 256;
/** Closing a session must not hold up the end of a generation for longer. */
const CLOSE_TIMEOUT_MS = 5_000;

/**
 * Generates tokens through a pipeline of stages: opens a session on each, sends the prompt through, then one token at a
 * time. The sessions are closed in every case: at the end, on an error, and when the consumer stops early.
 *
 * @throws CalyxError `usage` for a prompt that is empty, has unknown ids or fills the context; else as the stages do, or the
 * signal's reason
 * @example
 * const generation = generate({ stages, config, prompt, maxTokens: 100, eosIds });
 * for await (const token of generation) process.stdout.write(decoder.push(token));
 */
export function generate(options: GenerateOptions): Generation {
  const stats: GenerationStats = {
    promptTokens: options.prompt.length,
    generatedTokens: 0,
    prefillSeconds: 0,
    decodeSeconds: 0,
    tokensPerSecond: 0,
    stopReason: undefined,
  };
  return Object.assign(run(options, stats), { stats });
}

async function* run(
  options: GenerateOptions,
  stats: GenerationStats,
): AsyncGenerator<number, void, undefined> {
  const { stages, prompt, eosIds = [], sampler = greedy, clock = systemClock } = options;
  checkStages(stages, options.config.blockCount);
  const maxTokens = checkPrompt(options);
  const { controller, detach } = linkedController(options.signal);
  const { signal } = controller;
  const sessionId = randomUUID();
  // The last token is never sent, so it needs no room.
  const sessionTokens = prompt.length + maxTokens - 1;
  try {
    await openAll(stages, sessionId, sessionTokens, signal);
    const startedAt = clock.now();
    let logits = await prefill(
      stages,
      sessionId,
      prompt,
      options.chunkTokens ?? DEFAULT_CHUNK_TOKENS,
      signal,
    );
    stats.prefillSeconds = (clock.now() - startedAt) / 1000;
    for (let position = prompt.length; ; position += 1) {
      const token = sampler(logits);
      count(stats);
      const isLast = stats.generatedTokens === maxTokens;
      if (eosIds.includes(token)) stats.stopReason = 'eos';
      else if (isLast) stats.stopReason = 'length';
      yield token;
      if (stats.stopReason !== undefined) return;
      const sentAt = clock.now();
      logits = await step(stages, sessionId, position, [token], signal);
      stats.decodeSeconds += (clock.now() - sentAt) / 1000;
    }
  } finally {
    detach();
    await closeAll(stages, sessionId);
  }
}

/** Opens the session everywhere; waits for all before it fails, so that the closing cannot overtake an opening. */
async function openAll(
  stages: readonly StageLink[],
  sessionId: string,
  tokens: number,
  signal: AbortSignal,
): Promise<void> {
  const results = await Promise.allSettled(stages.map((stage) => stage.open(sessionId, tokens, { signal })));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** Failures are passed over: a stage that is gone has lost the session anyway, and a lost close expires by itself. */
async function closeAll(stages: readonly StageLink[], sessionId: string): Promise<void> {
  const closing = stages.map((stage) =>
    withDeadline(CLOSE_TIMEOUT_MS, undefined, (signal) => stage.close(sessionId, { signal })),
  );
  await Promise.allSettled(closing);
}

function count(stats: GenerationStats): void {
  stats.generatedTokens += 1;
  const [tokens, seconds] =
    stats.generatedTokens === 1
      ? [1, stats.prefillSeconds]
      : [stats.generatedTokens - 1, stats.decodeSeconds];
  stats.tokensPerSecond = seconds > 0 ? tokens / seconds : 0;
}

function checkStages(stages: readonly StageLink[], blockCount: number): void {
  let next = 0;
  for (const stage of stages) {
    const { start, end } = stage.blocks;
    const good = start === next && stage.embed === (start === 0) && stage.head === (end === blockCount);
    if (!good)
      throw new CalyxError(
        'usage',
        `${stage.name} with blocks ${formatBlockRange(stage.blocks)} does not fit into the pipeline at block ${next}`,
      );
    next = end;
  }
  if (next !== blockCount)
    throw new CalyxError('usage', `the pipeline ends at block ${next} of ${blockCount}`);
}

/** Returns how many tokens can be generated. */
function checkPrompt({ prompt, maxTokens, config }: GenerateOptions): number {
  if (prompt.length === 0)
    throw new CalyxError('usage', 'the prompt has no tokens', { hint: 'write at least one word' });
  const unknown = prompt.find((id) => !Number.isInteger(id) || id < 0 || id >= config.vocabSize);
  if (unknown !== undefined)
    throw new CalyxError(
      'usage',
      `the prompt's token ${unknown} is not in the vocabulary of ${config.vocabSize}`,
    );
  if (!Number.isSafeInteger(maxTokens) || maxTokens < 1)
    throw new CalyxError('usage', 'at least one token must be asked for');
  if (prompt.length > config.maxPositions) {
    throw new CalyxError(
      'usage',
      `the prompt has ${prompt.length} tokens; the model's context is ${config.maxPositions} (max_position_embeddings)`,
      { hint: 'shorten the prompt' },
    );
  }
  return Math.min(maxTokens, config.maxPositions - prompt.length + 1);
}
