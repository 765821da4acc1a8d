import type { RpcConnection } from '../../rpc/rpc-program.js';
import type { Client } from '../state/client.js';
import { NFS4, Nfs4Error } from '../status.js';
import type { Audience } from './audience.js';
import type { ChannelAttributes } from './channel.js';
import type { ReplyCache } from './reply-cache.js';
import { Slot } from './slot.js';

/** A session of a client (RFC 8881, section 2.10). */
export class Session {
  readonly id: Uint8Array;
  readonly client: Client;
  readonly fore: ChannelAttributes;
  readonly audience: Audience;
  /** Slots that were used, by number. */
  readonly #slots = new Map<number, Slot>();
  readonly #cache: ReplyCache;
  readonly #connections = new WeakSet<RpcConnection>();

  constructor(fields: {
    readonly id: Uint8Array;
    readonly client: Client;
    readonly fore: ChannelAttributes;
    readonly audience: Audience;
    readonly cache: ReplyCache;
  }) {
    this.id = fields.id;
    this.client = fields.client;
    this.fore = fields.fore;
    this.audience = fields.audience;
    this.#cache = fields.cache;
  }

  /** The highest slot that a client may use. */
  get highestSlot(): number {
    return this.fore.maxRequests - 1;
  }

  /** Throws Nfs4Error `BADSLOT`. */
  slot(number: number): Slot {
    if (number > this.highestSlot) throw new Nfs4Error(NFS4.BADSLOT);
    let slot = this.#slots.get(number);
    if (slot === undefined) {
      slot = new Slot(this.#cache);
      this.#slots.set(number, slot);
    }
    return slot;
  }

  /** Associates a connection with the session (section 2.10.3.1). */
  bind(connection: RpcConnection): void {
    this.#connections.add(connection);
  }

  isBound(connection: RpcConnection): boolean {
    return this.#connections.has(connection);
  }

  /** Forgets the replies. */
  clear(): void {
    for (const slot of this.#slots.values()) slot.clear();
    this.#slots.clear();
  }
}
