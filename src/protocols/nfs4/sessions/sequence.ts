import { bool, fixedOpaque, struct, uint32 } from '../../xdr/codec.js';
import { stateOperation } from '../session-compound.js';
import { NFS4, Nfs4Error } from '../status.js';
import { audienceOf } from './audience.js';
import { SESSION_ID_BYTES } from './session-table.js';

const args = struct({
  sessionId: fixedOpaque(SESSION_ID_BYTES),
  sequence: uint32,
  slot: uint32,
  highestSlot: uint32,
  keep: bool,
});

const result = struct({
  sessionId: fixedOpaque(SESSION_ID_BYTES),
  sequence: uint32,
  slot: uint32,
  highestSlot: uint32,
  targetHighestSlot: uint32,
  statusFlags: uint32,
});

/** Of an RPC call before its arguments, with the shortest credentials (RFC 5531, section 9). */
const CALL_HEADER_BYTES = 40;

/** Ends a compound with a reply that was sent before. */
export class Replay extends Error {
  override readonly name = 'Replay';
  readonly reply: Uint8Array;

  constructor(reply: Uint8Array) {
    super('answered before');
    this.reply = reply;
  }
}

/**
 * SEQUENCE (RFC 8881, section 18.46): takes a slot of a session for the compound and renews the client's
 * lease. The connection need not be bound to the session before: without state protection it is by this
 * (section 2.10.3.1).
 *
 * Errors: `BADSESSION`, `BADSLOT`, `BAD_HIGH_SLOT`, `TOO_MANY_OPS`, `REQ_TOO_BIG`, and those of `Slot.begin`.
 * Throws {@link Replay}.
 */
export const sequence = stateOperation({
  name: 'SEQUENCE',
  args,
  result,
  handle: (asked, compound) => {
    const { state, call } = compound;
    const session = state.sessions.find(asked.sessionId, audienceOf(compound));
    const slot = session.slot(asked.slot);
    if (asked.highestSlot > session.highestSlot) throw new Nfs4Error(NFS4.BAD_HIGH_SLOT);
    if (compound.operations > session.fore.maxOperations) throw new Nfs4Error(NFS4.TOO_MANY_OPS);
    if (call.argumentBytes + CALL_HEADER_BYTES > session.fore.maxRequestBytes)
      throw new Nfs4Error(NFS4.REQ_TOO_BIG);
    session.bind(call.connection);
    session.client.renew(state.clock.now(), call.connection.peer);
    const reply = slot.begin(asked.sequence, compound.requestDigest());
    if (reply !== undefined) throw new Replay(reply);
    compound.sequence = { session, slot, keep: asked.keep };
    compound.client = session.client;
    return {
      sessionId: session.id,
      sequence: asked.sequence,
      slot: asked.slot,
      highestSlot: session.highestSlot,
      targetHighestSlot: session.highestSlot,
      // No callbacks are down because there are none, and nothing is ever revoked.
      statusFlags: 0,
    };
  },
});
