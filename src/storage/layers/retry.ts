import { systemClock, type Clock } from '../../core/clock.js';
import type { Digest } from '../../core/digest.js';
import { isCalyxError } from '../../core/errors.js';
import type { ByteSource, Lease, ReadOptions } from '../byte-source.js';

/** Options of {@link RetryLayer}. */
export interface RetryOptions {
  /** From the first failure on, how long a read is tried again. @default 30000 */
  readonly deadlineMs?: number;
  /** First pause; each further one is twice as long, up to {@link RetryOptions.longestPauseMs}. @default 200 */
  readonly firstPauseMs?: number;
  /** @default 5000 */
  readonly longestPauseMs?: number;
  /** How often a read that gave wrong bytes is tried again; waiting does not mend those. @default 1 */
  readonly corruptRetries?: number;
  /** Called before each further attempt. */
  readonly onRetry?: (error: unknown) => void;
  readonly clock?: Clock;
}

const DEFAULTS = { deadlineMs: 30_000, firstPauseMs: 200, longestPauseMs: 5_000, corruptRetries: 1 } as const;

/** Tries a read again while the failure may pass (`unavailable`, `timeout`, `limited`), until the deadline; then it fails with the last error. */
export class RetryLayer implements ByteSource {
  readonly name: string;
  readonly #inner: ByteSource;
  readonly #options: Required<Omit<RetryOptions, 'clock' | 'onRetry'>>;
  readonly #onRetry: (error: unknown) => void;
  readonly #clock: Clock;

  constructor(inner: ByteSource, options: RetryOptions = {}) {
    this.name = inner.name;
    this.#inner = inner;
    this.#options = { ...DEFAULTS, ...options };
    this.#onRetry = options.onRetry ?? (() => undefined);
    this.#clock = options.clock ?? systemClock;
  }

  async read(blob: Digest, offset: number, length: number, options?: ReadOptions): Promise<Lease> {
    let pauseMs = this.#options.firstPauseMs;
    let corruptRetries = this.#options.corruptRetries;
    let giveUpAt: number | undefined;
    for (;;) {
      try {
        return await this.#inner.read(blob, offset, length, options);
      } catch (error) {
        options?.signal?.throwIfAborted();
        giveUpAt ??= this.#clock.now() + this.#options.deadlineMs;
        const mayPass = isCalyxError(error, 'unavailable', 'timeout', 'limited');
        if (isCalyxError(error, 'corrupt') ? corruptRetries-- <= 0 : !mayPass) throw error;
        if (this.#clock.now() + pauseMs > giveUpAt) throw error;
        this.#onRetry(error);
        await this.#clock.sleep(pauseMs, options?.signal);
        pauseMs = Math.min(pauseMs * 2, this.#options.longestPauseMs);
      }
    }
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
