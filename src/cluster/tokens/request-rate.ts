import { CalyxError } from '../../core/errors.js';
import { Recent } from '../../core/recent.js';

/** As many as a table of tokens has. */
const MAX_TOKENS = 10_000;

/** How many requests each token has: `burst` at once, and `perSecond` in the long run. */
export class RequestRate {
  readonly #buckets = new Recent<string, { left: number; at: number }>(MAX_TOKENS);
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #now: () => number;

  /** @param now milliseconds that only grow */
  constructor(perSecond: number, burst: number, now: () => number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#now = now;
  }

  /** Counts one request. @throws CalyxError `limited` */
  count(tokenId: string): void {
    const now = this.#now();
    const bucket = this.#buckets.get(tokenId) ?? { left: this.#burst, at: now };
    bucket.left = Math.min(this.#burst, bucket.left + ((now - bucket.at) / 1000) * this.#perSecond);
    bucket.at = now;
    this.#buckets.set(tokenId, bucket);
    if (bucket.left < 1) {
      const retryAfterSeconds = Math.ceil((1 - bucket.left) / this.#perSecond);
      throw new CalyxError('limited', `there were too many requests with the token ${tokenId}`, {
        hint: `wait ${retryAfterSeconds} s; a token has ${this.#perSecond} requests per second`,
        retryAfterSeconds,
      });
    }
    bucket.left -= 1;
  }
}
