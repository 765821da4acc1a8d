import { systemClock, type Clock } from '../../core/clock.js';
import { isCalyxError } from '../../core/errors.js';

/** Options of {@link Patience}. */
export interface PatienceOptions {
  /** From the first failure on, how long the same thing is tried again. @default 300000 (5 minutes) */
  readonly deadlineMs?: number;
  /** First pause; each further one is twice as long, up to {@link PatienceOptions.longestPauseMs}. @default 500 */
  readonly firstPauseMs?: number;
  /** @default 30000 */
  readonly longestPauseMs?: number;
  /** Told once of each message. */
  readonly onWait?: (error: Error, pauseMs: number) => void;
  readonly clock?: Clock;
}

const DEFAULTS = { deadlineMs: 300_000, firstPauseMs: 500, longestPauseMs: 30_000 } as const;

/**
 * Tries again what may pass (`unavailable`, `timeout`, `limited`). What a source asks for (Retry-After) holds for all who read from it,
 * so that one refusal is not followed by one from each stream.
 */
export class Patience {
  readonly #options: PatienceOptions;
  readonly #clock: Clock;
  readonly #told = new Set<string>();
  #closedUntil = -Infinity;

  constructor(options: PatienceOptions = {}) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Rejects with the last failure once the deadline would pass, at once with any failure that does not pass. */
  async run<T>(attempt: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const { deadlineMs, firstPauseMs, longestPauseMs } = { ...DEFAULTS, ...this.#options };
    let pauseMs = firstPauseMs;
    let giveUpAt: number | undefined;
    for (;;) {
      const closedMs = this.#closedUntil - this.#clock.now();
      if (closedMs > 0) await this.#clock.sleep(closedMs, signal);
      try {
        return await attempt();
      } catch (error) {
        signal.throwIfAborted();
        if (!isCalyxError(error, 'unavailable', 'timeout', 'limited')) throw error;
        const now = this.#clock.now();
        giveUpAt ??= now + deadlineMs;
        const asked = error.retryAfterSeconds === undefined ? 0 : error.retryAfterSeconds * 1000;
        // Streams that fail together do not come back together.
        const waitMs = Math.max(asked, pauseMs * (0.75 + Math.random() / 2));
        if (now + waitMs > giveUpAt) throw error;
        if (asked > 0) this.#closedUntil = Math.max(this.#closedUntil, now + asked);
        if (!this.#told.has(error.message)) this.#options.onWait?.(error, waitMs);
        this.#told.add(error.message);
        await this.#clock.sleep(waitMs, signal);
        pauseMs = Math.min(pauseMs * 2, longestPauseMs);
      }
    }
  }
}
