import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { abortReason } from '../../core/clock.js';
import { CalyxError } from '../../core/errors.js';
import type { BadChunk, CheckJob, HashJob, HashResult } from './hash-file.js';
import type { WorkerAnswer, WorkerRequest } from './hash-worker.js';

/** Called with the bytes done since the last call. */
export type OnBytes = (bytes: number) => void;

/** Options of {@link HashPool}. */
export interface HashPoolOptions {
  /** @default the machine's cores, at most 8 */
  readonly threads?: number;
  /** Ends all jobs when it fires. */
  readonly signal?: AbortSignal;
}

/** Worker threads that hash files. Jobs wait in line; memory is one chunk per thread. */
export class HashPool {
  /** How many jobs run at the same time. */
  readonly threads: number;
  readonly #idle: Worker[] = [];
  readonly #all = new Set<Worker>();
  readonly #queue: (() => void)[] = [];
  readonly #signal: AbortSignal | undefined;
  #closed = false;

  constructor(options: HashPoolOptions = {}) {
    this.threads = options.threads ?? Math.min(availableParallelism(), 8);
    this.#signal = options.signal;
  }

  /** Hashes, and copies, one file. Rejects with what {@link hashFile} throws. */
  async hash(job: HashJob, onBytes: OnBytes): Promise<HashResult> {
    return (await this.#run({ kind: 'hash', job }, onBytes)) as HashResult;
  }

  /** Compares one file with its digests. */
  async check(job: CheckJob, onBytes: OnBytes): Promise<BadChunk[]> {
    return (await this.#run({ kind: 'check', job }, onBytes)) as BadChunk[];
  }

  /** Ends the threads; jobs under way are abandoned. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const wake of this.#queue.splice(0)) wake();
    await Promise.all([...this.#all].map((worker) => worker.terminate()));
  }

  async #run(request: WorkerRequest, onBytes: OnBytes): Promise<unknown> {
    const worker = await this.#take();
    let answer: FinalAnswer;
    try {
      answer = await converse(worker, request, onBytes, this.#signal);
      this.#idle.push(worker);
    } catch (error) {
      // It crashed, or is still busy with a job that nobody wants.
      this.#all.delete(worker);
      void worker.terminate();
      throw error;
    } finally {
      this.#queue.shift()?.();
    }
    if (answer.kind === 'result') return answer.value;
    throw new CalyxError(answer.code, answer.message, answer.hint === undefined ? {} : { hint: answer.hint });
  }

  async #take(): Promise<Worker> {
    this.#check();
    while (this.#idle.length === 0 && this.#all.size >= this.threads) {
      await new Promise<void>((resolve) => this.#queue.push(resolve));
      try {
        this.#check();
      } catch (error) {
        // The turn goes to the next in line, who will be refused as well.
        this.#queue.shift()?.();
        throw error;
      }
    }
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    const worker = new Worker(new URL('./hash-worker.js', import.meta.url));
    // An idle thread does not keep the process alive.
    worker.unref();
    this.#all.add(worker);
    return worker;
  }

  #check(): void {
    this.#signal?.throwIfAborted();
    if (this.#closed) throw new CalyxError('aborted', 'the hashing threads were ended');
  }
}

type FinalAnswer = Exclude<WorkerAnswer, { kind: 'progress' }>;

function converse(
  worker: Worker,
  request: WorkerRequest,
  onBytes: OnBytes,
  signal?: AbortSignal,
): Promise<FinalAnswer> {
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void): void => {
      worker.off('message', onMessage).off('error', onError).off('exit', onExit);
      signal?.removeEventListener('abort', onAbort);
      worker.unref();
      settle();
    };
    const onMessage = (answer: WorkerAnswer): void => {
      if (answer.kind === 'progress') onBytes(answer.bytes);
      else finish(() => resolve(answer));
    };
    const onError = (error: unknown): void =>
      finish(() => reject(error instanceof Error ? error : new Error(String(error))));
    const onExit = (): void =>
      finish(() => reject(new CalyxError('internal', 'a hashing thread ended unexpectedly')));
    const onAbort = (): void => {
      if (signal !== undefined) finish(() => reject(abortReason(signal)));
    };
    worker.ref();
    worker.on('message', onMessage).on('error', onError).on('exit', onExit);
    signal?.addEventListener('abort', onAbort, { once: true });
    worker.postMessage(request);
  });
}
