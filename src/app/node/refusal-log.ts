import type { Logger } from 'pino';
import { systemClock, type Clock } from '../../core/clock.js';
import type { Decision } from '../../core/doorkeeper.js';

/** Strangers must not fill a disk. */
const INTERVAL_MS = 60_000;

/** Logs whom a node turns away: one line a minute, which counts the others. */
export class RefusalLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  #toldAt = -Infinity;
  #untold = 0;

  constructor(logger: Logger, clock: Clock = systemClock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  /** For a doorkeeper. */
  decided({ allowed, action, address, grant, reason }: Decision): void {
    if (allowed) return;
    const now = this.#clock.now();
    if (now - this.#toldAt < INTERVAL_MS) {
      this.#untold += 1;
      return;
    }
    const others = this.#untold === 0 ? {} : { othersBefore: this.#untold };
    this.#logger.warn({ action, address, name: grant?.name, reason, ...others }, 'a request was refused');
    this.#toldAt = now;
    this.#untold = 0;
  }
}
