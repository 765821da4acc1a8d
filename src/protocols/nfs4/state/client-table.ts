import type { RpcPeer } from '../../rpc/rpc-program.js';
import { NFS4, Nfs4Error } from '../status.js';
import { Client, type ClientIdentity } from './client.js';
import type { OpenTable } from './open-table.js';

/** What a {@link ClientTable} needs. */
export interface ClientTableOptions {
  /** The upper half of every client id: this run of the server. */
  readonly boot: number;
  /** The first lower half. */
  readonly firstNumber: number;
  readonly leaseMs: number;
  /** Clients that created a session. */
  readonly maxConfirmed: number;
  /** Clients that did not yet; the oldest gives way. */
  readonly maxUnconfirmed: number;
  readonly now: () => number;
  readonly opens: (client: Client) => OpenTable;
  /** Called for each session of a client that is removed. */
  onRemove(client: Client): void;
}

interface Records {
  confirmed: Client | undefined;
  unconfirmed: Client | undefined;
}

/**
 * The clients that the server knows: at most one confirmed and one unconfirmed record for each owner (RFC
 * 8881, section 18.35.4).
 */
export class ClientTable {
  readonly #options: ClientTableOptions;
  readonly #byOwner = new Map<string, Records>();
  readonly #confirmed = new Map<number, Client>();
  /** In the order in which they came. */
  readonly #unconfirmed = new Map<number, Client>();
  #next: number;

  constructor(options: ClientTableOptions) {
    this.#options = options;
    this.#next = options.firstNumber;
  }

  /** Records that there are. */
  get size(): number {
    return this.#confirmed.size + this.#unconfirmed.size;
  }

  /**
   * What EXCHANGE_ID does with the records, by the cases of section 18.35.4.
   *
   * @throws Nfs4Error `CLID_INUSE` (3), `NOENT` (7), `NOT_SAME` (8), `PERM` (9)
   */
  exchange(identity: ClientIdentity, peer: RpcPeer, update: boolean): Client {
    const owner = ownerKey(identity.owner, peer);
    const { confirmed, unconfirmed } = this.#byOwner.get(owner) ?? {};
    const sameVerifier =
      confirmed !== undefined && Buffer.compare(confirmed.verifier, identity.verifier) === 0;
    const samePrincipal = confirmed?.principal === identity.principal;
    if (update) {
      if (confirmed === undefined) throw new Nfs4Error(NFS4.NOENT); // 7
      if (!sameVerifier) throw new Nfs4Error(NFS4.NOT_SAME); // 8
      if (!samePrincipal) throw new Nfs4Error(NFS4.PERM); // 9
      return confirmed; // 6: there is nothing to update but what nobody keeps
    }
    if (confirmed !== undefined && samePrincipal && sameVerifier) {
      if (unconfirmed !== undefined) this.remove(unconfirmed);
      return confirmed; // 2
    }
    if (confirmed !== undefined && !samePrincipal) {
      if (confirmed.hasState && !this.isExpired(confirmed)) throw new Nfs4Error(NFS4.CLID_INUSE); // 3
      this.remove(confirmed);
    }
    // 1; 4: the unconfirmed record is replaced; 5: the client restarted, and the old record goes when the new
    // one is confirmed.
    if (unconfirmed !== undefined) this.remove(unconfirmed);
    return this.#add(identity, owner, peer);
  }

  /**
   * The client of an id. Throws Nfs4Error `STALE_CLIENTID` for ids of another run, of another replica, and of
   * removed clients.
   */
  find(clientId: bigint): Client {
    const number = Number(clientId & 0xffff_ffffn);
    const client =
      Number(clientId >> 32n) === this.#options.boot
        ? (this.#confirmed.get(number) ?? this.#unconfirmed.get(number))
        : undefined;
    if (client === undefined) throw new Nfs4Error(NFS4.STALE_CLIENTID);
    return client;
  }

  /**
   * Confirms a client, in place of the record that its owner had confirmed before (section 18.36.4).
   *
   * @throws Nfs4Error `DELAY` if there are too many and none has lost its lease
   */
  confirm(client: Client): void {
    const records = this.#byOwner.get(client.owner);
    if (records === undefined || client.confirmed) return;
    if (records.confirmed !== undefined) this.remove(records.confirmed);
    if (this.#confirmed.size >= this.#options.maxConfirmed && !this.dropExpired())
      throw new Nfs4Error(NFS4.DELAY);
    client.confirmed = true;
    this.#unconfirmed.delete(client.number);
    this.#confirmed.set(client.number, client);
    this.#byOwner.set(client.owner, { confirmed: client, unconfirmed: undefined });
  }

  /** Forgets a client with everything that it has. */
  remove(client: Client): void {
    this.#confirmed.delete(client.number);
    this.#unconfirmed.delete(client.number);
    const records = this.#byOwner.get(client.owner);
    if (records !== undefined) {
      if (records.confirmed === client) records.confirmed = undefined;
      if (records.unconfirmed === client) records.unconfirmed = undefined;
      if (records.confirmed === undefined && records.unconfirmed === undefined)
        this.#byOwner.delete(client.owner);
    }
    client.opens.clear();
    this.#options.onRemove(client);
  }

  isExpired(client: Client): boolean {
    return this.#options.now() - client.renewed > this.#options.leaseMs;
  }

  /**
   * Looks for leases that are over. Confirmed clients keep their records, as long as there is room for
   * others, so that one which was cut off for a while goes on as if nothing had been; but their files may be
   * removed. Nothing is lost by remembering: nobody can conflict.
   */
  expire(): void {
    for (const client of [...this.#unconfirmed.values()]) {
      if (!this.isExpired(client)) break;
      this.remove(client);
    }
    for (const client of this.#confirmed.values()) if (this.isExpired(client)) client.suspend();
  }

  /**
   * Drops, of the confirmed clients that have what is wanted, the one whose lease is over for the longest time, so that others
   * have room; false if there is none.
   */
  dropExpired(has: (client: Client) => boolean = () => true): boolean {
    let oldest: Client | undefined;
    for (const client of this.#confirmed.values())
      if (has(client) && (oldest === undefined || client.renewed < oldest.renewed)) oldest = client;
    if (oldest === undefined || !this.isExpired(oldest)) return false;
    this.remove(oldest);
    return true;
  }

  #add(identity: ClientIdentity, owner: string, peer: RpcPeer): Client {
    for (const oldest of this.#unconfirmed.values()) {
      if (this.#unconfirmed.size < this.#options.maxUnconfirmed) break;
      this.remove(oldest);
    }
    while (this.#confirmed.has(this.#next) || this.#unconfirmed.has(this.#next))
      this.#next = (this.#next + 1) >>> 0;
    const number = this.#next;
    this.#next = (number + 1) >>> 0;
    const { boot, now, opens } = this.#options;
    const clientId = (BigInt(boot) << 32n) | BigInt(number);
    const client = new Client({ clientId, number, owner, identity, opens, peer, now: now() });
    const confirmed = this.#byOwner.get(owner)?.confirmed;
    this.#byOwner.set(owner, { confirmed, unconfirmed: client });
    this.#unconfirmed.set(number, client);
    return client;
  }
}

/**
 * What tells clients apart: their name, their address, and whether TLS protects them, so that nobody who needs to show nothing ends the sessions of
 * one who showed a certificate. By RFC 8881 it is the name alone (section 2.4), which Linux makes of the host
 * name; but machines cloned from one image have one name, and would end each other's sessions without end. A client whose address changes
 * uses its session as before; one that comes anew is a new client, and its reclaims succeed.
 */
function ownerKey(owner: Uint8Array, peer: RpcPeer): string {
  return `${peer.security} ${peer.address} ${Buffer.from(owner).toString('latin1')}`;
}
