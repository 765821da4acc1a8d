import { setImmediate } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { CalyxError } from '../core/errors.js';
import type { StageInput, StageOutput } from './stage-link.js';
import { DEFAULT_STAGE_LIMITS, Stage, type StageOptions } from './stage.js';
import { toThreadError, type ThreadError } from './thread-error.js';

interface ForwardRequest {
  readonly id: number;
  readonly call: 'forward';
  readonly sessionId: string;
  readonly position: number;
  readonly input: StageInput;
}

/** What the main thread asks. `id` pairs the answer with it; `cancel` names the call that nobody waits for any more. */
export type StageRequest =
  | { readonly id: number; readonly call: 'open'; readonly sessionId: string; readonly maxTokens: number }
  | ForwardRequest
  | { readonly id: number; readonly call: 'close'; readonly sessionId: string }
  | { readonly id: number; readonly call: 'cancel' };

/** What the worker answers; id 0 reports the loading. */
export type StageReply =
  | { readonly id: number; readonly ok: true; readonly output?: StageOutput }
  | { readonly id: number; readonly ok: false; readonly error: ThreadError };

const LOADED = 0;
/** Sessions of vanished clients are looked for this many times in one idle time-out. */
const SWEEPS_PER_TIMEOUT = 4;

const port = parentPort;
if (port === null) throw new Error('stage-worker runs in a worker thread only');

const options = workerData as StageOptions;
/** Forwards whose turn has not come; their inputs are freed when they are cancelled. */
const waiting = new Map<number, ForwardRequest>();
let turn: Promise<void> = Promise.resolve();
const post = (reply: StageReply, transfer: ArrayBuffer[] = []): void => port.postMessage(reply, transfer);

try {
  const stage = await Stage.load(options);
  const idleTimeoutMs = options.idleTimeoutMs ?? DEFAULT_STAGE_LIMITS.idleTimeoutMs;
  setInterval(() => stage.expire(), idleTimeoutMs / SWEEPS_PER_TIMEOUT).unref();
  port.on('message', (request: StageRequest) => answer(stage, request));
  post({ id: LOADED, ok: true });
} catch (error) {
  fail(LOADED, error);
}

function answer(stage: Stage, request: StageRequest): void {
  const { id } = request;
  if (request.call === 'forward') {
    waiting.set(id, request);
    turn = turn.then(() => forward(stage, id));
  } else if (request.call === 'cancel') {
    // One that has begun, or is answered, is not there any more.
    if (waiting.delete(id)) fail(id, new CalyxError('aborted', 'nobody waits for this call any more'));
  } else {
    try {
      if (request.call === 'open') stage.open(request.sessionId, request.maxTokens);
      else stage.close(request.sessionId);
      post({ id, ok: true });
    } catch (error) {
      fail(id, error);
    }
  }
}

async function forward(stage: Stage, id: number): Promise<void> {
  // Computing has blocked the thread: what came in meanwhile is read first, for it may cancel this call.
  await setImmediate();
  const request = waiting.get(id);
  if (request === undefined) return;
  waiting.delete(id);
  try {
    const output = await stage.forward(request.sessionId, request.position, request.input);
    post({ id, ok: true, output }, [output.data.buffer]);
  } catch (error) {
    fail(id, error);
  }
}

function fail(id: number, error: unknown): void {
  post({ id, ok: false, error: toThreadError(error) });
}
