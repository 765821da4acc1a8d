import { randomBytes } from 'node:crypto';
import { systemClock, type Clock } from '../../../core/clock.js';
import type { NfsExports } from '../../nfs/exports.js';
import { LEASE_SECONDS } from '../lease-time.js';
import { ReplyCache } from '../sessions/reply-cache.js';
import { SessionTable } from '../sessions/session-table.js';
import { ClientTable } from './client-table.js';
import { OpenTable } from './open-table.js';
import { StateBudget } from './state-budget.js';

/** Who the server is to its clients (RFC 8881, section 2.10.4). */
export interface ServerIdentity {
  /** The major id of the server owner. */
  readonly owner: string;
  /** Where client ids, handles and stateids mean the same. */
  readonly scope: string;
}

/** Limits of what clients can make the server remember. */
export interface Nfs4Limits {
  /** Clients with a session. @default 4096 */
  readonly clients: number;
  /** Clients that only introduced themselves. @default 1024 */
  readonly unconfirmedClients: number;
  /** Of all clients. @default 8192 */
  readonly sessions: number;
  /** @default 16 */
  readonly sessionsPerClient: number;
  /** Open files and locks of one client. @default 65536 */
  readonly statesPerClient: number;
  /** Open files and locks of all clients. @default 262144 */
  readonly states: number;
  /** Replies that are kept for retries, bytes. @default 64 MiB */
  readonly replyBytes: number;
}

/** Options of the NFSv4 server. */
export interface Nfs4Options {
  readonly clock?: Clock;
  /** Random bytes. */
  readonly random?: (bytes: number) => Uint8Array;
  readonly identity?: ServerIdentity;
  readonly limits?: Partial<Nfs4Limits>;
}

/**
 * All replicas say that they are the same server (section 2.10.5): with one address that moves from one to
 * the other that is what a client shall think, so that it reclaims what it had. Where two replicas have
 * addresses of their own and a client mounts both, this alone does not make it take them for one server with
 * two addresses: Linux compares the client ids that they gave it too, and an id begins with a random word of
 * each server's run (section 2.10.5.1 leaves it to the client to verify). A session of the other is unknown
 * in any case: BADSESSION, and the client makes a new one.
 */
const IDENTITY: ServerIdentity = { owner: 'calyx', scope: 'calyx' };

const DEFAULT_LIMITS: Nfs4Limits = {
  clients: 4096,
  unconfirmedClients: 1024,
  sessions: 8192,
  sessionsPerClient: 16,
  statesPerClient: 65_536,
  states: 262_144,
  replyBytes: 64 * 1024 * 1024,
};

const LEASE_MS = LEASE_SECONDS * 1000;
/** How often requests look for leases that are over. */
const EXPIRY_MS = 10_000;

/** All that the server remembers of its clients, none of which outlives it: clients build it anew. */
export class ServerState {
  readonly identity: ServerIdentity;
  /**
   * Stands in every client id, session id and stateid, so that those of another run or another replica are
   * known as such.
   */
  readonly boot: number;
  readonly clock: Clock;
  readonly clients: ClientTable;
  readonly sessions: SessionTable;
  readonly replies: ReplyCache;
  readonly states: StateBudget;
  #expired: number;

  constructor(exports: NfsExports, options: Nfs4Options = {}) {
    const random = options.random ?? randomBytes;
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    const [boot, firstNumber] = [randomWord(random), randomWord(random)];
    this.identity = options.identity ?? IDENTITY;
    this.clock = options.clock ?? systemClock;
    this.boot = boot;
    const replies = new ReplyCache(limits.replyBytes);
    const states = new StateBudget(limits.states, () =>
      this.clients.dropExpired(({ opens }) => opens.size > 0),
    );
    const sessions = new SessionTable({
      boot,
      max: limits.sessions,
      maxPerClient: limits.sessionsPerClient,
      makeRoom: () => this.clients.dropExpired((client) => client.sessions.size > 0),
      replies,
      random,
    });
    this.replies = replies;
    this.states = states;
    this.sessions = sessions;
    this.clients = new ClientTable({
      boot,
      firstNumber,
      leaseMs: LEASE_MS,
      maxConfirmed: limits.clients,
      maxUnconfirmed: limits.unconfirmedClients,
      now: () => this.clock.now(),
      opens: (client) =>
        new OpenTable({
          boot,
          client: client.number,
          max: limits.statesPerClient,
          budget: states,
          hold: (file) => exports.usage.open(file, client.peer),
        }),
      onRemove: (client) => {
        for (const session of [...client.sessions]) sessions.destroy(session);
      },
    });
    this.#expired = this.clock.now();
  }

  /**
   * Lets go of what clients held whose lease is over. Every request does so now and then; a server without
   * any needs a timer.
   */
  expireLeases(): void {
    this.#expired = this.clock.now();
    this.clients.expire();
  }

  /** {@link expireLeases}, unless that was a moment ago. */
  expireLeasesNowAndThen(): void {
    if (this.clock.now() - this.#expired >= EXPIRY_MS) this.expireLeases();
  }
}

function randomWord(random: (bytes: number) => Uint8Array): number {
  return Buffer.from(random(4)).readUInt32BE(0);
}
