import type { Client } from '../state/client.js';
import { NFS4, Nfs4Error } from '../status.js';
import { sameAudience, type Audience } from './audience.js';
import type { ChannelAttributes } from './channel.js';
import type { ReplyCache } from './reply-cache.js';
import { Session } from './session.js';

/** Bytes of a session id. */
export const SESSION_ID_BYTES = 16;
const RANDOM_BYTES = 8;
const NUMBER_AT = 4;

/** What a {@link SessionTable} needs. */
export interface SessionTableOptions {
  /** The first word of every session id: this run of the server. */
  readonly boot: number;
  readonly max: number;
  readonly maxPerClient: number;
  /** Asked when there are `max`: removes one, or returns false. */
  readonly makeRoom: () => boolean;
  readonly replies: ReplyCache;
  readonly random: (bytes: number) => Uint8Array;
}

/**
 * The sessions of all clients. An id is the boot value, a number and 8 random bytes, so that one of another
 * run or of another replica is not known here and nobody guesses one.
 */
export class SessionTable {
  readonly #options: SessionTableOptions;
  readonly #sessions = new Map<number, Session>();
  #next = 1;

  constructor(options: SessionTableOptions) {
    this.#options = options;
  }

  /** Sessions that there are. */
  get size(): number {
    return this.#sessions.size;
  }

  /** Throws Nfs4Error `NOSPC` when the client has too many, `DELAY` when all together have. */
  create(client: Client, fore: ChannelAttributes, audience: Audience): Session {
    const { boot, max, maxPerClient, makeRoom, replies, random } = this.#options;
    if (client.sessions.size >= maxPerClient) throw new Nfs4Error(NFS4.NOSPC);
    while (this.#sessions.size >= max) if (!makeRoom()) throw new Nfs4Error(NFS4.DELAY);
    while (this.#sessions.has(this.#next)) this.#next = (this.#next + 1) >>> 0;
    const number = this.#next;
    this.#next = (number + 1) >>> 0;
    const id = Buffer.alloc(SESSION_ID_BYTES);
    id.writeUInt32BE(boot, 0);
    id.writeUInt32BE(number, NUMBER_AT);
    id.set(random(RANDOM_BYTES), SESSION_ID_BYTES - RANDOM_BYTES);
    const session = new Session({ id, client, fore, audience, cache: replies });
    this.#sessions.set(number, session);
    client.sessions.add(session);
    return session;
  }

  /**
   * Throws Nfs4Error `BADSESSION`, also for a session that was made for others: replies that are kept for it tell what they may see. A
   * client that comes to see something else, or to be protected differently, makes a new one.
   */
  find(id: Uint8Array, audience: Audience): Session {
    const session = this.#sessions.get(numberOf(id));
    if (session === undefined || Buffer.compare(session.id, id) !== 0) throw new Nfs4Error(NFS4.BADSESSION);
    if (!sameAudience(session.audience, audience)) throw new Nfs4Error(NFS4.BADSESSION);
    return session;
  }

  destroy(session: Session): void {
    this.#sessions.delete(numberOf(session.id));
    session.client.sessions.delete(session);
    session.clear();
  }
}

function numberOf(id: Uint8Array): number {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).readUInt32BE(NUMBER_AT);
}
