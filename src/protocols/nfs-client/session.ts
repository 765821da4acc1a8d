import { randomBytes } from 'node:crypto';
import { CalyxError } from '../../core/errors.js';
import { MAX_READ_BYTES } from '../nfs/limits.js';
import { bind, callCompound, type BoundOperation, type Results } from './compound.js';
import {
  CREATE_SESSION,
  decodeNodeValues,
  DESTROY_CLIENTID,
  DESTROY_SESSION,
  EXCHANGE_ID,
  GETATTR,
  GETFH,
  NODE_MASK,
  RECLAIM_COMPLETE,
  SEQUENCE,
} from './nfs4-calls.js';
import type { RemoteNode } from './nfs-reader.js';
import type { RpcCaller } from './rpc-caller.js';
import { SessionSlots } from './session-slots.js';

const MINOR_VERSION = 1;
/** EXCHGID4_FLAG_USE_NON_PNFS (RFC 8881, section 18.35.3). */
const NON_PNFS = 0x0001_0000;
/** For the headers around a READ. */
const OVERHEAD = 1_024;
const MAX_SLOTS = 64;
/** A server that does not answer any more need not be told that we go. */
const CLOSE_MS = 1_000;

/** A client id with one session; every compound goes through a slot of it. */
export class Session {
  readonly #rpc: RpcCaller;
  readonly #clientId: bigint;
  readonly #id: Uint8Array;
  readonly #slots: SessionSlots;

  static async open(rpc: RpcCaller, signal: AbortSignal): Promise<Session> {
    const doing = 'making a session of version 4.1';
    const owner = Buffer.from(`calyx advise ${randomBytes(8).toString('hex')}`);
    const [client] = await callCompound(
      rpc,
      MINOR_VERSION,
      [
        bind(EXCHANGE_ID, {
          verifier: randomBytes(8),
          owner,
          flags: NON_PNFS,
          protection: 0,
          implementation: [],
        }),
      ],
      doing,
      signal,
    );
    const wanted = {
      headerPadding: 0,
      maxRequestBytes: MAX_READ_BYTES,
      maxResponseBytes: MAX_READ_BYTES + OVERHEAD,
      maxCachedBytes: OVERHEAD,
      maxOperations: 16,
      maxRequests: MAX_SLOTS,
      rdmaReads: [],
    };
    const small = {
      ...wanted,
      maxRequestBytes: 4096,
      maxResponseBytes: 4096,
      maxCachedBytes: 0,
      maxOperations: 2,
      maxRequests: 1,
    };
    const [made] = await callCompound(
      rpc,
      MINOR_VERSION,
      [
        bind(CREATE_SESSION, {
          clientId: client.clientId,
          sequence: client.sequence,
          flags: 0,
          fore: wanted,
          back: small,
          callbackProgram: 0x4000_0000,
          security: [0],
        }),
      ],
      doing,
      signal,
    );
    const slots = Math.min(MAX_SLOTS, Math.max(1, made.fore.maxRequests));
    const session = new Session(rpc, client.clientId, Uint8Array.from(made.session), slots);
    await session.call([bind(RECLAIM_COMPLETE, { oneFileSystem: false })], doing, signal);
    return session;
  }

  private constructor(rpc: RpcCaller, clientId: bigint, id: Uint8Array, slots: number) {
    this.#rpc = rpc;
    this.#clientId = clientId;
    this.#id = id;
    this.#slots = new SessionSlots(slots);
  }

  get slots(): number {
    return this.#slots.highest + 1;
  }

  /** The results of the operations after SEQUENCE. */
  async call<const Operations extends readonly BoundOperation<unknown>[]>(
    operations: Operations,
    doing: string,
    signal: AbortSignal,
  ): Promise<Results<Operations>> {
    return this.#slots.use(async ({ slot, sequence }) => {
      const session = { session: this.#id, sequence, slot, highestSlot: this.#slots.highest, cache: false };
      const [, ...results] = await callCompound(
        this.#rpc,
        MINOR_VERSION,
        [bind(SEQUENCE, session), ...operations],
        doing,
        signal,
      );
      return results;
    });
  }

  /** The node that is the current filehandle after these operations. */
  async node(
    operations: readonly BoundOperation<unknown>[],
    doing: string,
    signal: AbortSignal,
  ): Promise<RemoteNode> {
    const results = await this.call(
      [...operations, bind(GETFH, undefined), bind(GETATTR, { mask: NODE_MASK })],
      doing,
      signal,
    );
    const { mask, values } = results.at(-1) as {
      readonly mask: readonly number[];
      readonly values: Uint8Array;
    };
    const { handle } = results.at(-2) as { readonly handle: Uint8Array };
    const node = nodeOf(mask, values, handle);
    if (node === undefined) throw new CalyxError('unavailable', `${doing}: the server told no attributes`);
    return node;
  }

  async close(): Promise<void> {
    const signal = AbortSignal.timeout(CLOSE_MS);
    const say = (operation: BoundOperation<unknown>): Promise<unknown> =>
      callCompound(this.#rpc, MINOR_VERSION, [operation], 'ending the session', signal);
    try {
      await say(bind(DESTROY_SESSION, { session: this.#id }));
      await say(bind(DESTROY_CLIENTID, { clientId: this.#clientId }));
    } catch {
      // The server forgets both after its lease time.
    } finally {
      this.#rpc.close();
    }
  }
}

/** The node that attributes describe; undefined if they lack its type or its handle. */
export function nodeOf(
  mask: readonly number[],
  values: Uint8Array,
  known?: Uint8Array,
): RemoteNode | undefined {
  const { type, size, handle = known } = decodeNodeValues(mask, values);
  if (type === undefined || handle === undefined) return undefined;
  const kind = type === 2 ? 'directory' : type === 1 ? 'file' : 'other';
  return { handle: Uint8Array.from(handle), kind, size: size ?? 0 };
}
