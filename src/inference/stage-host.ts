import { SHARE_ENV, Worker } from 'node:worker_threads';
import { formatBlockRange, type BlockRange } from '../core/block-range.js';
import { abortReason } from '../core/clock.js';
import { CalyxError, errorMessage } from '../core/errors.js';
import type { CallOptions, StageInput, StageLink, StageOutput } from './stage-link.js';
import type { StageReply, StageRequest } from './stage-worker.js';
import type { StageOptions } from './stage.js';
import { fromThreadError } from './thread-error.js';

/** Settings of {@link StageHost.start}, beside those of the stage. */
export interface StageHostOptions extends StageOptions {
  /** Loading ends within this time or fails. @default 600_000 */
  readonly loadTimeoutMs?: number;
  /** One call ends within this time or fails; waiting for the calls before it counts. @default 120_000 */
  readonly callTimeoutMs?: number;
  /** Calls that the worker has not answered yet, given up ones included; more are refused. @default 64 */
  readonly maxPending?: number;
}

const DEFAULTS = { loadTimeoutMs: 600_000, callTimeoutMs: 120_000, maxPending: 64 };
const LOAD_ID = 0;

/** A call that the worker has not answered; a caller that gave up no longer listens. */
interface Pending {
  readonly resolve: (output: StageOutput | undefined) => void;
  readonly reject: (error: Error) => void;
}
type Call = StageRequest extends infer R ? (R extends unknown ? Omit<R, 'id'> : never) : never;

/**
 * A stage in a worker thread of its own, because computing blocks a thread for up to seconds. If the worker dies, every
 * pending and later call fails with the reason.
 *
 * @example
 * const stage = await StageHost.start({ config, directory, tensors, blocks: { start: 0, end: 4 }, embed: true, head: false });
 */
export class StageHost implements StageLink {
  readonly name = 'this process';
  readonly blocks: BlockRange;
  readonly embed: boolean;
  readonly head: boolean;
  /** Resolves with the reason if the worker dies; never otherwise. */
  readonly failed: Promise<CalyxError>;
  readonly #worker: Worker;
  readonly #callTimeoutMs: number;
  readonly #maxPending: number;
  /** A call leaves only when the worker has answered it: until then it takes the worker's time and memory. */
  readonly #pending = new Map<number, Pending>();
  #nextId = LOAD_ID;
  #reportFailure: (error: CalyxError) => void = () => undefined;
  #failure: CalyxError | undefined;

  private constructor(options: StageHostOptions) {
    const { callTimeoutMs, maxPending } = { ...DEFAULTS, ...options };
    this.blocks = options.blocks;
    this.embed = options.embed;
    this.head = options.head;
    this.#callTimeoutMs = callTimeoutMs;
    this.#maxPending = maxPending;
    this.failed = new Promise((resolve) => {
      this.#reportFailure = resolve;
    });
    this.#worker = new Worker(new URL('./stage-worker.js', import.meta.url), {
      workerData: options satisfies StageOptions,
      // The runtime's telemetry switch must reach the environment of the process, see loadRuntime.
      env: SHARE_ENV,
    });
    this.#worker.on('message', (reply: StageReply) => this.#settle(reply));
    this.#worker.on('error', (error) => this.#fail(`failed: ${errorMessage(error)}`, error));
    this.#worker.on('messageerror', (error) =>
      this.#fail(`sent what cannot be read: ${error.message}`, error),
    );
    this.#worker.on('exit', (code) => this.#fail(`ended (exit code ${code})`));
  }

  /**
   * Loads the blocks; resolves when they can run.
   *
   * @throws CalyxError as `Stage.load` does; `timeout`; `aborted`
   */
  static async start(options: StageHostOptions, { signal }: CallOptions = {}): Promise<StageHost> {
    const host = new StageHost(options);
    try {
      await host.#wait(LOAD_ID, options.loadTimeoutMs ?? DEFAULTS.loadTimeoutMs, signal);
      return host;
    } catch (error) {
      await host.stop();
      throw error;
    }
  }

  async open(sessionId: string, maxTokens: number, options: CallOptions = {}): Promise<void> {
    await this.#call({ call: 'open', sessionId, maxTokens }, options);
  }

  /** As {@link StageLink.forward}. A call that was given up is not computed any more, unless that has begun. */
  async forward(
    sessionId: string,
    position: number,
    input: StageInput,
    options: CallOptions = {},
  ): Promise<StageOutput> {
    const { buffer, byteLength } = input.data;
    // A view of a larger buffer is copied instead: handing it over would take the rest away as well.
    const transfer = byteLength === buffer.byteLength ? [buffer] : [];
    const output = await this.#call({ call: 'forward', sessionId, position, input }, options, transfer);
    if (output === undefined) throw new CalyxError('internal', 'the stage gave no output');
    return output;
  }

  async close(sessionId: string, options: CallOptions = {}): Promise<void> {
    await this.#call({ call: 'close', sessionId }, options);
  }

  /** Ends the worker and frees its memory; pending calls fail with `aborted`. */
  async stop(): Promise<void> {
    this.#failure ??= new CalyxError('aborted', `${this.#title()} was stopped`);
    this.#rejectAll(this.#failure);
    await this.#worker.terminate();
  }

  async #call(
    call: Call,
    { signal }: CallOptions,
    transfer: ArrayBuffer[] = [],
  ): Promise<StageOutput | undefined> {
    if (this.#failure !== undefined) throw this.#failure;
    if (signal?.aborted === true) throw abortReason(signal);
    // Closing must always be possible: it frees what the others wait for, and costs next to nothing.
    if (this.#pending.size >= this.#maxPending && call.call !== 'close') {
      throw new CalyxError('busy', `${this.#title()} has ${this.#pending.size} calls waiting`, {
        hint: 'try again later, or serve these blocks on another node too',
      });
    }
    this.#nextId += 1;
    this.#worker.postMessage({ ...call, id: this.#nextId } satisfies StageRequest, transfer);
    return this.#wait(this.#nextId, this.#callTimeoutMs, signal);
  }

  #wait(id: number, timeoutMs: number, signal: AbortSignal | undefined): Promise<StageOutput | undefined> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      };
      const fail = (error: Error): void => {
        done();
        reject(error);
      };
      const giveUp = (error: Error): void => {
        fail(error);
        this.#worker.postMessage({ call: 'cancel', id } satisfies StageRequest);
      };
      const timer = setTimeout(
        () =>
          giveUp(new CalyxError('timeout', `${this.#title()} did not answer within ${timeoutMs / 1000} s`)),
        timeoutMs,
      );
      const onAbort = (): void => {
        if (signal !== undefined) giveUp(abortReason(signal));
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#pending.set(id, {
        resolve: (output) => {
          done();
          resolve(output);
        },
        reject: fail,
      });
    });
  }

  #settle(reply: StageReply): void {
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if (reply.ok) pending?.resolve(reply.output);
    else pending?.reject(fromThreadError(reply.error));
  }

  #fail(what: string, cause?: unknown): void {
    // Also after it was stopped, or for what follows the first reason.
    if (this.#failure !== undefined) return;
    this.#failure = new CalyxError('unavailable', `${this.#title()}: its worker thread ${what}`, {
      hint: 'start the node again; see its log',
      cause,
    });
    this.#rejectAll(this.#failure);
    this.#reportFailure(this.#failure);
  }

  #rejectAll(error: CalyxError): void {
    for (const pending of this.#pending.values()) pending.reject(error);
    this.#pending.clear();
  }

  #title(): string {
    return `the stage of blocks ${formatBlockRange(this.blocks)}`;
  }
}
