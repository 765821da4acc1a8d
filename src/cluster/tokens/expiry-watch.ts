import type { Clock } from '../../core/clock.js';
import type { TokenRecord } from './token-record.js';

/** Options of {@link ExpiryWatch}. */
export interface ExpiryWatchOptions {
  /** Tells the time of day. */
  readonly clock: Clock;
  /** Those that are listed now. */
  readonly tokens: () => Iterable<TokenRecord>;
  /** Is told of those that expire, at the moment when they do. */
  readonly onExpired: (tokenIds: readonly string[]) => void;
}

/** The clock may be set, and a machine may sleep, so it is looked at again; and timers hold no more than 2^31 ms. */
const MAX_SLEEP_MS = 60_000;

/** Waits for tokens to expire, until it is closed. */
export class ExpiryWatch {
  readonly #options: ExpiryWatchOptions;
  #toldUntil: number;
  #watch = new AbortController();
  #closed = false;

  constructor(options: ExpiryWatchOptions) {
    this.#options = options;
    this.#toldUntil = options.clock.now();
    this.lookAgain();
  }

  /** Expiry up to here has been told. */
  get toldUntil(): number {
    return this.#toldUntil;
  }

  /** Other tokens are listed than before: sleeps until the next of them expires. */
  lookAgain(): void {
    if (this.#closed) return;
    this.#watch.abort();
    this.#watch = new AbortController();
    // It ends only by its signal.
    this.#wait(this.#watch.signal).catch(() => undefined);
  }

  close(): void {
    this.#closed = true;
    this.#watch.abort();
  }

  async #wait(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    for (;;) {
      const next = this.#next();
      if (next === undefined) return;
      await clock.sleep(Math.min(Math.max(next - clock.now(), 1), MAX_SLEEP_MS), signal);
      this.#tell();
    }
  }

  #next(): number | undefined {
    const coming = [...this.#options.tokens()]
      .filter(({ revokedAt }) => revokedAt === undefined)
      .flatMap(({ expiresAt }) =>
        expiresAt !== undefined && expiresAt > this.#toldUntil ? [expiresAt] : [],
      );
    return coming.length === 0 ? undefined : coming.reduce((least, at) => Math.min(least, at));
  }

  #tell(): void {
    const since = this.#toldUntil;
    // If the clock is set back, what expires again is told again.
    this.#toldUntil = this.#options.clock.now();
    const expired = [...this.#options.tokens()].filter(
      ({ expiresAt = Infinity, revokedAt }) =>
        revokedAt === undefined && expiresAt > since && expiresAt <= this.#toldUntil,
    );
    if (expired.length > 0) this.#options.onExpired(expired.map(({ id }) => id));
  }
}
