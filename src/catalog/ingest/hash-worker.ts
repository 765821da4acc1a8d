import { parentPort } from 'node:worker_threads';
import { errorMessage, isCalyxError, type ErrorCode } from '../../core/errors.js';
import { checkFile, hashFile, type CheckJob, type HashJob } from './hash-file.js';

/** What the pool sends. */
export type WorkerRequest =
  { readonly kind: 'hash'; readonly job: HashJob } | { readonly kind: 'check'; readonly job: CheckJob };

/** What the worker sends back: progress any number of times, then a result or an error. */
export type WorkerAnswer =
  | { readonly kind: 'progress'; readonly bytes: number }
  | { readonly kind: 'result'; readonly value: unknown }
  | {
      readonly kind: 'error';
      readonly code: ErrorCode;
      readonly message: string;
      readonly hint: string | undefined;
    };

// The entry of a worker thread: one job at a time.
parentPort?.on('message', (request: WorkerRequest) => {
  const send = (answer: WorkerAnswer): void => parentPort?.postMessage(answer);
  const onProgress = (bytes: number): void => send({ kind: 'progress', bytes });
  try {
    const value =
      request.kind === 'hash' ? hashFile(request.job, onProgress) : checkFile(request.job, onProgress);
    send({ kind: 'result', value });
  } catch (error) {
    const code = isCalyxError(error) ? error.code : 'internal';
    send({
      kind: 'error',
      code,
      message: errorMessage(error),
      hint: isCalyxError(error) ? error.hint : undefined,
    });
  }
});
