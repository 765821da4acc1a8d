import { parentPort, workerData } from 'node:worker_threads';
import { errorMessage, isCalyxError, type ErrorCode } from '../../core/errors.js';
import { runTransfers } from '../../catalog/fetch/run-transfers.js';
import type { Transfer } from '../../catalog/fetch/transfer.js';
import { createSourceStack, type SourceConfig } from './source-stack.js';

/** What the worker is given. */
export interface TransferWorkerData {
  readonly directory: string;
  readonly config: SourceConfig;
  readonly transfers: readonly Transfer[];
  /** Transfers at the same time. */
  readonly parallel: number;
}

/** What the worker tells. */
export type TransferWorkerMessage =
  | { readonly kind: 'done'; readonly index: number }
  | {
      readonly kind: 'end';
      readonly retries: number;
      readonly bytesReceived: number;
      readonly error?: WorkerError;
    };

/** An error in a form that survives the way to another thread. */
export interface WorkerError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string | undefined;
}

/** The entry of a worker thread that fetches transfers. */
async function main({ directory, config, transfers, parallel }: TransferWorkerData): Promise<void> {
  const { source, counters } = createSourceStack(config, transfers, parallel);
  const send = (message: TransferWorkerMessage): void => parentPort?.postMessage(message);
  let error: WorkerError | undefined;
  try {
    await runTransfers(transfers, {
      directory,
      source,
      parallel,
      onDone: (index) => send({ kind: 'done', index }),
      signal: new AbortController().signal,
    });
  } catch (problem) {
    const known = isCalyxError(problem) ? problem : undefined;
    error = { code: known?.code ?? 'internal', message: errorMessage(problem), hint: known?.hint };
  }
  await source.close();
  send({ kind: 'end', ...counters, ...(error === undefined ? {} : { error }) });
}

if (parentPort !== null) await main(workerData as TransferWorkerData);
