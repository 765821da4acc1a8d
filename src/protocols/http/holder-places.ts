import { CalyxError } from '../../core/errors.js';

/** A connection on which a token, or a certificate, that counts was shown. */
export interface HolderConnection {
  /** True while no request of it is being answered. */
  isIdle(): boolean;
  /** Ends the connection. */
  drop(): void;
}

/** Whose connection wants a place. */
export interface PlaceFor {
  /** Of the token that was shown first on it. */
  readonly tokenId: string;
  /** Manages all of the store, so that somebody makes room whoever else has the places. */
  readonly manages: boolean;
}

/** So many connections of one who manages are let in before those of others count as much. */
const MANAGEMENT_PLACES = 16;

/** For how long who finds no place is asked to wait. */
const RETRY_AFTER_SECONDS = 2;

/**
 * Places for connections of those who have shown a token. One token may have them all while nobody else wants any, since all machines of a
 * cluster may share it. When they are taken, a connection of the token that has most makes room for one of a token that has fewer: the
 * one idle longest, or if none is idle, the one whose request is youngest, which loses least. So nobody keeps another token out, and by
 * turns none has more than its share.
 */
export class HolderPlaces {
  readonly #max: number;
  /** By token, those used last at the end. */
  readonly #groups = new Map<string, Set<HolderConnection>>();
  readonly #tokens = new Map<HolderConnection, string>();

  constructor(maxConnections: number) {
    this.#max = maxConnections;
  }

  /** Places that are taken. */
  get count(): number {
    return this.#tokens.size;
  }

  /**
   * Gives a place.
   *
   * @throws CalyxError `busy` if there is none
   */
  enter(connection: HolderConnection, wanted: PlaceFor): void {
    if (this.#tokens.size >= this.#max) this.#makeRoom(wanted);
    const { tokenId } = wanted;
    const own = this.#groups.get(tokenId) ?? new Set();
    this.#groups.set(tokenId, own.add(connection));
    this.#tokens.set(connection, tokenId);
  }

  /** The connection is used again. */
  used(connection: HolderConnection): void {
    const group = this.#groupOf(connection);
    if (group?.delete(connection) === true) group.add(connection);
  }

  /** Gives a place back: the connection is closed. */
  leave(connection: HolderConnection): void {
    const tokenId = this.#tokens.get(connection);
    const group = this.#groupOf(connection);
    if (tokenId === undefined || group === undefined) return;
    this.#tokens.delete(connection);
    group.delete(connection);
    if (group.size === 0) this.#groups.delete(tokenId);
  }

  #groupOf(connection: HolderConnection): Set<HolderConnection> | undefined {
    const tokenId = this.#tokens.get(connection);
    return tokenId === undefined ? undefined : this.#groups.get(tokenId);
  }

  #makeRoom({ tokenId, manages }: PlaceFor): void {
    const own = this.#groups.get(tokenId) ?? new Set();
    const largest = this.#largestBut(tokenId);
    // With one more it may be as large as the other then is, and not larger: two tokens would take one place from each other by turns.
    const mayTake = largest.size >= own.size + 2 || (manages && own.size < MANAGEMENT_PLACES);
    const victim = (mayTake ? (firstIdle(largest) ?? [...largest].at(-1)) : undefined) ?? firstIdle(own);
    if (victim === undefined)
      throw new CalyxError(
        'busy',
        `this server has ${this.#max} connections already, its limit, and ${own.size} of them are of this token`,
        {
          hint: 'try again later, or with fewer connections at a time',
          retryAfterSeconds: RETRY_AFTER_SECONDS,
        },
      );
    this.leave(victim);
    victim.drop();
  }

  #largestBut(tokenId: string): ReadonlySet<HolderConnection> {
    let largest: ReadonlySet<HolderConnection> = new Set();
    for (const [id, group] of this.#groups) if (id !== tokenId && group.size > largest.size) largest = group;
    return largest;
  }
}

function firstIdle(group: ReadonlySet<HolderConnection>): HolderConnection | undefined {
  for (const connection of group) if (connection.isIdle()) return connection;
  return undefined;
}
