import type { Session } from './sessions/session.js';
import type { Slot } from './sessions/slot.js';
import type { Client } from './state/client.js';
import type { ServerState } from './state/server-state.js';
import { NFS4, Nfs4Error } from './status.js';
import { operation, type Compound, type Operation, type OperationDefinition } from './operation.js';

/** A compound as the operations on sessions and state see it. */
export interface SessionCompound extends Compound {
  readonly state: ServerState;
  client: Client | undefined;
  /** What SEQUENCE found. */
  sequence: SequenceState | undefined;
  /** Operations in all, and the number of the one that runs. */
  readonly operations: number;
  readonly position: number;
  /** Whom the caller acts for, as far as it says so. */
  readonly principal: string;
  /**
   * A digest of tag, principal, number of operations and what follows the operation that runs: the same for
   * retries of one request.
   */
  requestDigest(): number;
}

/** The session and the slot of a compound. */
export interface SequenceState {
  readonly session: Session;
  readonly slot: Slot;
  /** Whether the client wants the reply to be kept. */
  readonly keep: boolean;
}

/** An operation that works on sessions and state. */
export function stateOperation<Args, Result>(
  definition: OperationDefinition<Args, Result, SessionCompound>,
): Operation<SessionCompound> {
  return operation(definition);
}

/** The client of a compound that began with SEQUENCE, as the engine sees to. */
export function clientOf(compound: SessionCompound): Client {
  if (compound.client === undefined) throw new Nfs4Error(NFS4.OP_NOT_IN_SESSION);
  return compound.client;
}
