import { CalyxError } from '../core/errors.js';
import { linkedController } from './deadline.js';
import type { StageInput, StageLink, StageOutput } from './stage-link.js';

/** Sends new tokens through all stages; returns the logits `[vocab]` after the last of them. */
export async function step(
  stages: readonly StageLink[],
  sessionId: string,
  position: number,
  tokens: readonly number[],
  signal?: AbortSignal,
): Promise<Float32Array> {
  return runChunk(stages, tokens, (stage, input) =>
    stage.forward(sessionId, position, input, signal === undefined ? {} : { signal }),
  );
}

/**
 * Sends a prompt through all stages in chunks. A stage takes a chunk when the chunk before has left it, so chunks are
 * computed on several stages at once.
 *
 * @returns the logits `[vocab]` after the last token
 * @throws what the first failing stage throws, after all others have ended
 */
export async function prefill(
  stages: readonly StageLink[],
  sessionId: string,
  prompt: readonly number[],
  chunkTokens: number,
  signal?: AbortSignal,
): Promise<Float32Array> {
  const { controller: failed, detach } = linkedController(signal);
  const turns = new Map<StageLink, Promise<unknown>>();
  const inTurn = (stage: StageLink, run: () => Promise<StageOutput>): Promise<StageOutput> => {
    const turn = (turns.get(stage) ?? Promise.resolve()).then(run);
    turns.set(stage, turn);
    return turn;
  };
  const chunks: Promise<Float32Array>[] = [];
  for (let position = 0; position < prompt.length; position += chunkTokens) {
    const forward = (stage: StageLink, input: StageInput): Promise<StageOutput> =>
      inTurn(stage, () => stage.forward(sessionId, position, input, { signal: failed.signal }));
    chunks.push(runChunk(stages, prompt.slice(position, position + chunkTokens), forward));
  }
  try {
    const logits = (await Promise.all(chunks)).at(-1);
    if (logits === undefined) throw new CalyxError('usage', 'the prompt has no tokens');
    return logits;
  } catch (error) {
    // The chunks under way would only find their session closed.
    failed.abort(error);
    await Promise.allSettled(chunks);
    throw error;
  } finally {
    detach();
  }
}

async function runChunk(
  stages: readonly StageLink[],
  tokens: readonly number[],
  forward: (stage: StageLink, input: StageInput) => Promise<StageOutput>,
): Promise<Float32Array> {
  let input: StageInput = { kind: 'tokens', data: BigInt64Array.from(tokens, BigInt) };
  for (const stage of stages) {
    const output = await forward(stage, input);
    if (output.kind === 'logits') return output.data;
    input = { kind: 'hidden', data: output.data };
  }
  throw new CalyxError('internal', 'the last stage gave no logits');
}
