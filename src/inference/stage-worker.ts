import { parentPort, workerData } from 'node:worker_threads';
import { toErrorBody, type ErrorBody } from './error-body.js';
import type { StageInput, StageOutput } from './stage-link.js';
import { DEFAULT_STAGE_LIMITS, Stage, type StageOptions } from './stage.js';

/** What the main thread asks. `id` pairs the answer with it. */
export type StageRequest =
  | { readonly id: number; readonly call: 'open'; readonly sessionId: string; readonly maxTokens: number }
  | {
      readonly id: number;
      readonly call: 'forward';
      readonly sessionId: string;
      readonly position: number;
      readonly input: StageInput;
    }
  | { readonly id: number; readonly call: 'close'; readonly sessionId: string };

/** What the worker answers; id 0 reports the loading. */
export type StageReply =
  | { readonly id: number; readonly ok: true; readonly output?: StageOutput }
  | { readonly id: number; readonly ok: false; readonly error: ErrorBody };

const LOADED = 0;
/** Sessions of vanished clients are looked for this many times in one idle time-out. */
const SWEEPS_PER_TIMEOUT = 4;

const port = parentPort;
if (port === null) throw new Error('stage-worker runs in a worker thread only');

const options = workerData as StageOptions;
const post = (reply: StageReply, transfer: ArrayBuffer[] = []): void => port.postMessage(reply, transfer);

try {
  const stage = await Stage.load(options);
  const idleTimeoutMs = options.idleTimeoutMs ?? DEFAULT_STAGE_LIMITS.idleTimeoutMs;
  setInterval(() => stage.expire(), idleTimeoutMs / SWEEPS_PER_TIMEOUT).unref();
  port.on('message', (request: StageRequest) => void answer(stage, request));
  post({ id: LOADED, ok: true });
} catch (error) {
  post({ id: LOADED, ok: false, error: toErrorBody(error) });
}

async function answer(stage: Stage, request: StageRequest): Promise<void> {
  const { id } = request;
  try {
    if (request.call === 'forward') {
      const output = await stage.forward(request.sessionId, request.position, request.input);
      post({ id, ok: true, output }, [output.data.buffer]);
      return;
    }
    if (request.call === 'open') stage.open(request.sessionId, request.maxTokens);
    else stage.close(request.sessionId);
    post({ id, ok: true });
  } catch (error) {
    post({ id, ok: false, error: toErrorBody(error) });
  }
}
