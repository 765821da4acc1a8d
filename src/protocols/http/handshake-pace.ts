import { systemClock, type Clock } from '../../core/clock.js';
import { networkOf } from '../../core/network-address.js';
import { Recent } from '../../core/recent.js';
import { isLoopback } from './guard.js';

/** Options of {@link HandshakePace}. */
export interface HandshakePaceOptions {
  /** Handshakes a second of one address (IPv6: of one /64) in the long run. @default 200 */
  readonly perAddress?: number;
  /** Of all together. @default 400 */
  readonly inAll?: number;
  readonly clock?: Clock;
}

/** A handshake takes the store about 1 ms of computing: all together they get less than half of that. */
export const HANDSHAKE_PACE = { perAddress: 200, inAll: 400 } as const;

/** So much may come at once: what there is for half a second. */
const BURST_SECONDS = 0.5;
/** Those who wait are looked at this often. */
const LOOK_MS = 10;
/** Addresses that are remembered; one that is forgotten begins anew, which costs no more than a new one does. */
const MAX_ADDRESSES = 4096;

interface Bucket {
  left: number;
  at: number;
}

/**
 * When TLS begins with whom. Whoever comes too fast waits for a turn, addresses in rotation, so that one in a flood costs the others
 * little. This machine is not paced: who is on it can use up its processors anyway.
 */
export class HandshakePace {
  readonly #perAddress: number;
  readonly #inAll: number;
  readonly #clock: Clock;
  readonly #buckets = new Recent<string, Bucket>(MAX_ADDRESSES);
  readonly #all: Bucket;
  /** By network, in the order of their turns. As many as there are places for strangers. */
  readonly #waiting = new Map<string, Set<() => void>>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: HandshakePaceOptions = {}) {
    this.#perAddress = options.perAddress ?? HANDSHAKE_PACE.perAddress;
    this.#inAll = options.inAll ?? HANDSHAKE_PACE.inAll;
    this.#clock = options.clock ?? systemClock;
    this.#all = { left: this.#inAll * BURST_SECONDS, at: this.#clock.now() };
  }

  /**
   * Calls `begin` at once or when it is its turn.
   *
   * @returns what gives the turn up
   */
  enter(address: string, begin: () => void): () => void {
    if (isLoopback(address)) {
      begin();
      return () => undefined;
    }
    const network = networkOf(address);
    const waiting = this.#waiting.get(network) ?? new Set();
    if (this.#waiting.size === 0 && this.#take(network)) {
      begin();
      return () => undefined;
    }
    this.#waiting.set(network, waiting.add(begin));
    this.#timer ??= setInterval(() => this.#serve(), LOOK_MS).unref();
    return () => {
      waiting.delete(begin);
      this.#tidy(network, waiting);
    };
  }

  #serve(): void {
    // Who was served goes to the end, and is met again there if there is more to give.
    for (const [network, waiting] of this.#waiting) {
      if (!this.#has(this.#all, this.#inAll)) return;
      const [begin] = waiting;
      if (begin === undefined || !this.#take(network)) continue;
      waiting.delete(begin);
      this.#waiting.delete(network);
      this.#waiting.set(network, waiting);
      this.#tidy(network, waiting);
      begin();
    }
  }

  #take(network: string): boolean {
    const bucket = this.#buckets.get(network) ?? {
      left: this.#perAddress * BURST_SECONDS,
      at: this.#clock.now(),
    };
    this.#buckets.set(network, bucket);
    if (!this.#has(bucket, this.#perAddress) || !this.#has(this.#all, this.#inAll)) return false;
    bucket.left -= 1;
    this.#all.left -= 1;
    return true;
  }

  #has(bucket: Bucket, perSecond: number): boolean {
    const now = this.#clock.now();
    bucket.left = Math.min(perSecond * BURST_SECONDS, bucket.left + ((now - bucket.at) / 1000) * perSecond);
    bucket.at = now;
    return bucket.left >= 1;
  }

  #tidy(network: string, waiting: ReadonlySet<() => void>): void {
    if (waiting.size === 0 && this.#waiting.get(network) === waiting) this.#waiting.delete(network);
    if (this.#waiting.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
