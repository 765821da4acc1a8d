import { CalyxError } from '../core/errors.js';
import { seededRandom } from './random.js';

/** How the next token is chosen. */
export interface SamplingOptions {
  /** 0 takes the most likely token; higher is more varied. @default 0 */
  readonly temperature?: number;
  /** Only the most likely tokens whose probabilities sum up to this are drawn from. @default 1 */
  readonly topP?: number;
  /** Integer; the same seed gives the same text. @default 0 */
  readonly seed?: number;
}

/** Chooses a token id from logits `[vocab]`. */
export type Sampler = (logits: Float32Array) => number;

/** Above this a temperature only makes noise. */
const MAX_TEMPERATURE = 100;

/**
 * Makes a sampler. It draws one random number a token, so a seed determines the whole sequence.
 *
 * @throws CalyxError `usage` for options out of range; the sampler throws `invalid-model` if a logit is not a number
 */
export function createSampler({ temperature = 0, topP = 1, seed = 0 }: SamplingOptions = {}): Sampler {
  if (!(temperature >= 0 && temperature <= MAX_TEMPERATURE))
    throw new CalyxError('usage', `the temperature must be between 0 and ${MAX_TEMPERATURE}`);
  if (!(topP > 0 && topP <= 1)) throw new CalyxError('usage', 'top-p must be above 0 and at most 1');
  if (!Number.isSafeInteger(seed)) throw new CalyxError('usage', 'the seed must be an integer');
  if (temperature === 0) return greedy;
  const random = seededRandom(seed);
  return (logits) => drawFrom(nucleus(softmax(logits, temperature), topP), random());
}

/** The token with the highest logit; the lowest id of several. */
export function greedy(logits: Float32Array): number {
  let best = -1;
  let top = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < logits.length; id += 1) {
    const logit = logits[id] ?? Number.NaN;
    if (Number.isNaN(logit)) throw notNumbers();
    if (logit > top) {
      top = logit;
      best = id;
    }
  }
  if (best < 0 || top === Number.POSITIVE_INFINITY) throw notNumbers();
  return best;
}

/** Probabilities at a temperature above 0. The highest logit is subtracted first, so that nothing overflows. */
export function softmax(logits: Float32Array, temperature: number): Float64Array {
  const top = logits[greedy(logits)] ?? 0;
  const result = Float64Array.from(logits, (logit) => Math.exp((logit - top) / temperature));
  const sum = result.reduce((total, value) => total + value, 0);
  return result.map((value) => value / sum);
}

/** A token that may be drawn. */
export interface Candidate {
  readonly id: number;
  readonly probability: number;
}

/** The fewest most likely tokens (ties: lowest id first) whose probabilities sum up to `topP`; at least one. */
export function nucleus(probabilities: Float64Array, topP: number): Candidate[] {
  const candidates = Array.from(probabilities, (probability, id) => ({ id, probability }));
  if (topP >= 1) return candidates;
  candidates.sort((a, b) => b.probability - a.probability || a.id - b.id);
  let sum = 0;
  const end = candidates.findIndex(({ probability }) => (sum += probability) >= topP);
  return end < 0 ? candidates : candidates.slice(0, end + 1);
}

/** The candidate at `point` (0 <= point < 1) of their joined probabilities. */
function drawFrom(candidates: readonly Candidate[], point: number): number {
  const total = candidates.reduce((sum, { probability }) => sum + probability, 0);
  let rest = point * total;
  let drawn = candidates[0];
  for (const candidate of candidates) {
    // A token of probability zero is never drawn, also when rounding leaves a rest at the end.
    if (candidate.probability > 0) drawn = candidate;
    rest -= candidate.probability;
    if (rest < 0) break;
  }
  return drawn?.id ?? 0;
}

function notNumbers(): CalyxError {
  return new CalyxError('invalid-model', 'the model gave logits that are not numbers', {
    hint: 'its weights are damaged, or a node computed wrongly; run calyx verify on the store',
  });
}
