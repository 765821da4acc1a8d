import { systemClock, type Clock } from '../../core/clock.js';
import { networkOf } from '../../core/network-address.js';

/** How far somebody has come who has shown nothing that counts: has sent nothing, speaks TLS, may ask. */
export type StrangerStage = 'silent' | 'handshake' | 'asking';

/** A connection that has not shown a token, or a certificate, that counts. */
export interface Stranger {
  readonly address: string;
  /** When it came. */
  readonly since: number;
  stage: StrangerStage;
  /** Ends the connection. */
  drop(): void;
}

/** Options of {@link StrangerPlaces}. */
export interface StrangerPlacesOptions {
  /** Places for one IPv4 address, or one /64 of IPv6, which is one network. @default 128 */
  readonly perAddress?: number;
  /** Places in all. @default 512 */
  readonly inAll?: number;
  readonly clock?: Clock;
}

/** What there is unless something else is said. */
export const STRANGER_PLACES = { perAddress: 128, inAll: 512 } as const;

/** Those who came as far as this make room last. */
const STAGES: readonly StrangerStage[] = ['silent', 'handshake', 'asking'];

/** Time for whoever means it to take the next step, before it makes room for others. */
const GRACE_MS = 250;

/**
 * Places for connections of strangers. Nobody is turned away at the door, for behind the address from which too many come may also
 * stand somebody with a token: the oldest of those that have come least far makes room, at the address that has most.
 */
export class StrangerPlaces {
  readonly #perAddress: number;
  readonly #inAll: number;
  readonly #clock: Clock;
  readonly #groups = new Map<string, Set<Stranger>>();
  #count = 0;

  constructor(options: StrangerPlacesOptions = {}) {
    this.#perAddress = options.perAddress ?? STRANGER_PLACES.perAddress;
    this.#inAll = options.inAll ?? STRANGER_PLACES.inAll;
    this.#clock = options.clock ?? systemClock;
  }

  /** Places that are taken. */
  get count(): number {
    return this.#count;
  }

  /** Gives a place, and drops another one if that is needed. */
  enter(stranger: Stranger): void {
    const network = networkOf(stranger.address);
    const own = this.#groups.get(network) ?? new Set();
    if (own.size >= this.#perAddress) this.#makeRoom(own);
    else if (this.#count >= this.#inAll) this.#makeRoom(this.#largest());
    // Only now: its last member may just have left.
    this.#groups.set(network, own.add(stranger));
    this.#count += 1;
  }

  /** Gives a place back: the connection is closed, or has shown a token. */
  leave(stranger: Stranger): void {
    const network = networkOf(stranger.address);
    const group = this.#groups.get(network);
    if (group?.delete(stranger) !== true) return;
    this.#count -= 1;
    if (group.size === 0) this.#groups.delete(network);
  }

  /** Drops all. */
  clear(): void {
    for (const group of [...this.#groups.values()]) for (const stranger of [...group]) this.#drop(stranger);
  }

  #makeRoom(group: ReadonlySet<Stranger>): void {
    const victim = this.#leastFar(group);
    if (victim !== undefined) this.#drop(victim);
  }

  #leastFar(group: ReadonlySet<Stranger>): Stranger | undefined {
    const before = this.#clock.now() - GRACE_MS;
    for (const stage of STAGES)
      for (const stranger of group) if (stranger.stage === stage && stranger.since <= before) return stranger;
    const [oldest] = group;
    return oldest;
  }

  #largest(): ReadonlySet<Stranger> {
    let largest: ReadonlySet<Stranger> = new Set();
    for (const group of this.#groups.values()) if (group.size > largest.size) largest = group;
    return largest;
  }

  #drop(stranger: Stranger): void {
    this.leave(stranger);
    stranger.drop();
  }
}
