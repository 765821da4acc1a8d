import type { Logger } from 'pino';
import { systemClock, type Clock } from '../../core/clock.js';
import { errorMessage, isCalyxError } from '../../core/errors.js';

/** Options of {@link firstContact}. */
export interface FirstContactOptions {
  readonly signal: AbortSignal;
  readonly logger: Logger;
  /** No attempt begins later than this after the first. @default 30_000 */
  readonly patienceMs?: number;
  readonly clock?: Clock;
}

const PATIENCE_MS = 30_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5_000;

/**
 * Asks until somebody answers, for a bounded time: whoever starts a whole cluster at once starts nodes before their store
 * listens.
 *
 * @param ask the first thing that is asked of the stores; any other failure than `unavailable`, `timeout` and `limited` is final
 * @throws what the last attempt throws; the signal's reason
 */
export async function firstContact<T>(ask: () => Promise<T>, options: FirstContactOptions): Promise<T> {
  const { signal, logger, patienceMs = PATIENCE_MS, clock = systemClock } = options;
  const endsAt = clock.now() + patienceMs;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    try {
      return await ask();
    } catch (error) {
      signal.throwIfAborted();
      if (!isCalyxError(error, 'unavailable', 'timeout', 'limited') || clock.now() + pauseMs > endsAt)
        throw error;
      if (pauseMs === FIRST_PAUSE_MS)
        logger.warn(`no store answers; trying again for ${patienceMs / 1000} s: ${errorMessage(error)}`);
      await clock.sleep(pauseMs, signal);
    }
  }
}
