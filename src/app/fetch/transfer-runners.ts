import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { abortReason } from '../../core/clock.js';
import { CalyxError } from '../../core/errors.js';
import { runTransfers, type OnTransferDone, type TransferRunner } from '../../catalog/fetch/run-transfers.js';
import { transferTotals, type Transfer } from '../../catalog/fetch/transfer.js';
import { createSourceStack, type SourceConfig } from './source-stack.js';
import type { TransferWorkerData, TransferWorkerMessage } from './transfer-worker.js';

/** Below this many bytes, starting threads takes longer than they save. */
const THREADS_FROM_BYTES = 32 * 1024 * 1024;

/** More threads than this do not make a fetch faster; each takes some memory. */
const MAX_THREADS = 4;

/** Transfers at the same time, on all threads together; each takes a buffer, so that memory does not grow with the cores. */
const PARALLEL = 8;

/** On one thread; a small amount needs no more. */
const PARALLEL_HERE = 4;

/** Fetches transfers into a directory: small amounts on this thread, large ones on several. */
export class Transfers implements TransferRunner {
  retries = 0;
  bytesReceived = 0;
  readonly #directory: string;
  readonly #config: SourceConfig;
  readonly #workers = new Set<Worker>();

  constructor(directory: string, config: SourceConfig) {
    this.#directory = directory;
    this.#config = config;
  }

  async run(transfers: readonly Transfer[], onDone: OnTransferDone, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { bytes } = transferTotals(transfers);
    const threads = bytes < THREADS_FROM_BYTES ? 0 : Math.min(availableParallelism(), MAX_THREADS);
    if (threads === 0) await this.#runHere(transfers, onDone, signal);
    else await this.#runInThreads(threads, transfers, onDone, signal);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#workers].map((worker) => worker.terminate()));
  }

  async #runHere(transfers: readonly Transfer[], onDone: OnTransferDone, signal: AbortSignal): Promise<void> {
    const { source, counters } = createSourceStack(this.#config, transfers, PARALLEL_HERE);
    try {
      await runTransfers(transfers, {
        directory: this.#directory,
        source,
        parallel: PARALLEL_HERE,
        onDone,
        signal,
      });
    } finally {
      this.retries += counters.retries;
      this.bytesReceived += counters.bytesReceived;
      await source.close();
    }
  }

  /** Each thread takes transfers that lie together, so that threads seldom write to the same file, which only one can do at a time. */
  async #runInThreads(
    threads: number,
    transfers: readonly Transfer[],
    onDone: OnTransferDone,
    signal: AbortSignal,
  ): Promise<void> {
    const failure = new AbortController();
    const either = AbortSignal.any([signal, failure.signal]);
    const each = Math.ceil(transfers.length / threads);
    const runs = Array.from({ length: threads }, async (_, thread) => {
      const first = thread * each;
      const own = transfers.slice(first, first + each);
      try {
        const parallel = Math.ceil(PARALLEL / threads);
        await this.#runInThread(own, parallel, (index) => onDone(first + index), either);
      } catch (error) {
        // The first failure ends the other threads too; they then fail with the same reason.
        failure.abort(error);
        throw either.reason;
      }
    });
    const settled = await Promise.allSettled(runs);
    const failed = settled.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  #runInThread(
    transfers: readonly Transfer[],
    parallel: number,
    onDone: OnTransferDone,
    signal: AbortSignal,
  ): Promise<void> {
    const data: TransferWorkerData = {
      directory: this.#directory,
      config: this.#config,
      transfers,
      parallel,
    };
    const worker = new Worker(new URL('./transfer-worker.js', import.meta.url), { workerData: data });
    this.#workers.add(worker);
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        void worker.terminate();
        reject(abortReason(signal));
      };
      signal.addEventListener('abort', onAbort, { once: true });
      worker.on('message', (message: TransferWorkerMessage) => {
        if (message.kind === 'done') {
          onDone(message.index);
          return;
        }
        this.retries += message.retries;
        this.bytesReceived += message.bytesReceived;
        const { error } = message;
        if (error === undefined) resolve();
        else
          reject(
            new CalyxError(error.code, error.message, error.hint === undefined ? {} : { hint: error.hint }),
          );
      });
      worker.once('error', reject);
      worker.once('exit', () => {
        signal.removeEventListener('abort', onAbort);
        this.#workers.delete(worker);
        reject(new CalyxError('internal', 'a fetching thread ended unexpectedly'));
      });
    });
  }
}
