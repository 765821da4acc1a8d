import { CalyxError } from '../../core/errors.js';
import { Recent } from '../../core/recent.js';
import { networkOf } from '../../core/network-address.js';

/** So many wrong tokens within {@link WINDOW_MS} are mistakes; after them the address waits. */
export const FREE_ATTEMPTS = 5;
export const WINDOW_MS = 60_000;
export const FIRST_WAIT_MS = 1000;
export const MAX_WAIT_MS = 60_000;
const MAX_ADDRESSES = 10_000;

interface Attempts {
  count: number;
  firstAt: number;
  waitMs: number;
  lockedUntil: number;
}

/**
 * Counts wrong tokens per address (IPv6: per /64), and locks an address out with back-off: after 5 within a minute for a second; for
 * each one after that for twice as long as before, up to a minute. A minute without any, and all is forgotten.
 *
 * It protects the audit log and those who look at it rather than the tokens: their secrets have 256 bits, and cannot be guessed in any
 * time. So a right token passes also while its address is locked out, because addresses are shared (NAT, loopback, containers), and a
 * stranger must not be able to lock out a neighbour. To know that it is right it must be hashed, which takes microseconds.
 */
export class WrongAttempts {
  readonly #addresses = new Recent<string, Attempts>(MAX_ADDRESSES);
  readonly #now: () => number;

  /** @param now milliseconds that only grow */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Counts one.
   *
   * @throws CalyxError `limited` while the address is locked out; that one is not counted
   */
  count(address: string): void {
    const now = this.#now();
    const block = networkOf(address);
    let attempts = this.#addresses.get(block);
    if (attempts !== undefined && now < attempts.lockedUntil) throw locked(attempts.lockedUntil - now);
    if (attempts === undefined || isForgotten(attempts, now)) {
      attempts = { count: 0, firstAt: now, waitMs: 0, lockedUntil: 0 };
      this.#addresses.set(block, attempts);
    }
    attempts.count += 1;
    if (attempts.count < FREE_ATTEMPTS) return;
    attempts.waitMs = Math.min(attempts.waitMs === 0 ? FIRST_WAIT_MS : attempts.waitMs * 2, MAX_WAIT_MS);
    attempts.lockedUntil = now + attempts.waitMs;
  }
}

function isForgotten({ firstAt, lockedUntil }: Attempts, now: number): boolean {
  return now >= Math.max(firstAt, lockedUntil) + WINDOW_MS;
}

function locked(remainingMs: number): CalyxError {
  const retryAfterSeconds = Math.ceil(remainingMs / 1000);
  return new CalyxError('limited', 'there were too many wrong tokens from this address', {
    hint: `wait ${retryAfterSeconds} s, then use a right one: it passes at any time`,
    retryAfterSeconds,
  });
}
