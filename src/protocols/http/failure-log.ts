import type { Logger } from 'pino';
import { systemClock, type Clock } from '../../core/clock.js';
import { errorMessage, isCalyxError } from '../../core/errors.js';

/** What the log is told of an answer that is a failure. */
export interface Failure {
  readonly error: unknown;
  /** Stands in the answer in place of what is not for the asker; undefined if the answer told all. */
  readonly reference: string | undefined;
  readonly method: string;
  readonly url: string;
}

/** An answer that was to be expected (busy, unavailable, over a limit) is a line at most so often, of each kind. */
const LINE_EVERY_MS = 10_000;

/**
 * Writes failures into the log. What nobody expected is there with its stack and its reference. What was to be expected is told by a line
 * without, and not each time: who may ask may also be refused thousands of times a second, and must not fill the disk by that.
 */
export class FailureLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  /** By method and code: few. */
  readonly #told = new Map<string, { at: number; more: number }>();

  constructor(logger: Logger, clock: Clock = systemClock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  tell({ error, reference, method, url }: Failure): void {
    if (reference !== undefined || !isCalyxError(error)) {
      this.#logger.error({ err: error, reference, method, url }, 'request failed');
      return;
    }
    const { code } = error;
    const kind = `${method} ${code}`;
    const now = this.#clock.now();
    const last = this.#told.get(kind);
    if (last !== undefined && now - last.at < LINE_EVERY_MS) {
      last.more += 1;
      return;
    }
    this.#told.set(kind, { at: now, more: 0 });
    const since = last !== undefined && last.more > 0 ? { more: last.more } : {};
    this.#logger.warn({ code, method, url, ...since }, errorMessage(error));
  }
}
