import type { Clock } from '../../../core/clock.js';
import { CalyxError, errorMessage, isCalyxError } from '../../../core/errors.js';

/** Whether the cache's disk can be used: after a failure not for a while, and then it is tried again. */
export class DiskHealth {
  /** How often the disk has failed. */
  failures = 0;
  readonly #clock: Clock;
  readonly #retryAfterMs: number;
  readonly #onTrouble: (error: CalyxError) => void;
  #retryAt: number | undefined;

  constructor(clock: Clock, retryAfterMs: number, onTrouble: (error: CalyxError) => void) {
    this.#clock = clock;
    this.#retryAfterMs = retryAfterMs;
    this.#onTrouble = onTrouble;
  }

  /** False while a failure is too fresh to try again. */
  get usable(): boolean {
    return this.#retryAt === undefined || this.#clock.now() >= this.#retryAt;
  }

  /** True from a failure on until a write succeeds. */
  get troubled(): boolean {
    return this.#retryAt !== undefined;
  }

  /** Tells of it, unless it has failed before and not worked since. */
  failed(error: unknown): void {
    const first = !this.troubled;
    this.failures += 1;
    this.#retryAt = this.#clock.now() + this.#retryAfterMs;
    if (!first) return;
    this.#onTrouble(
      isCalyxError(error) ? error : new CalyxError('unreadable', errorMessage(error), { cause: error }),
    );
  }

  worked(): void {
    this.#retryAt = undefined;
  }
}
