import type { RpcPeer } from '../../rpc/rpc-program.js';
import type { Session } from '../sessions/session.js';
import type { ClientState } from './client-state.js';
import type { OpenTable } from './open-table.js';

/**
 * What identifies a client when it comes: EXCHANGE_ID's owner, the verifier of its boot, and whom it acts
 * for.
 */
export interface ClientIdentity {
  readonly owner: Uint8Array;
  readonly verifier: Uint8Array;
  readonly principal: string;
}

/** A client record (RFC 8881, section 18.35.4). */
export class Client implements ClientState {
  readonly clientId: bigint;
  /** The lower half of the client id. */
  readonly number: number;
  /** The owner as a key. */
  readonly owner: string;
  readonly verifier: Uint8Array;
  readonly principal: string;
  readonly opens: OpenTable;
  readonly sessions = new Set<Session>();
  /** Where it last came from. */
  peer: RpcPeer;
  confirmed = false;
  reclaimComplete = false;
  /** Of the last CREATE_SESSION that was done, whose answer is kept (section 18.36.4); 1 is the first. */
  createSequence = 0;
  createReply: Uint8Array | undefined;
  /** When the lease was renewed last, on the server's clock. */
  renewed: number;
  #suspended = false;

  constructor(fields: {
    readonly clientId: bigint;
    readonly number: number;
    readonly owner: string;
    readonly identity: ClientIdentity;
    readonly opens: (client: Client) => OpenTable;
    readonly peer: RpcPeer;
    readonly now: number;
  }) {
    this.clientId = fields.clientId;
    this.number = fields.number;
    this.owner = fields.owner;
    this.verifier = Uint8Array.from(fields.identity.verifier);
    this.principal = fields.identity.principal;
    this.peer = fields.peer;
    this.renewed = fields.now;
    this.opens = fields.opens(this);
  }

  /** Whether a new client of the same name would take something away (section 18.35.4, case 3). */
  get hasState(): boolean {
    return this.sessions.size > 0 || this.opens.size > 0;
  }

  /** Renews the lease. */
  renew(now: number, peer: RpcPeer): void {
    this.renewed = now;
    this.peer = peer;
    if (this.#suspended) {
      this.#suspended = false;
      this.opens.resume();
    }
  }

  /** The lease is over: nothing is held for the client any more, until it renews. */
  suspend(): void {
    if (this.#suspended) return;
    this.#suspended = true;
    this.opens.suspend();
  }
}
