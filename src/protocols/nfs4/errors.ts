import { isCalyxError } from '../../core/errors.js';
import { describeNode, isTemporary } from '../nfs/failure.js';
import { XdrError } from '../xdr/xdr-error.js';
import type { Compound } from './operation.js';
import { NFS4, Nfs4Error, type Nfs4Status } from './status.js';

/** The status for anything that an operation threw. */
export function statusOf(error: unknown): Nfs4Status {
  if (error instanceof Nfs4Error) return error.status;
  if (error instanceof XdrError) return NFS4.BADXDR;
  // What was shown a moment ago and is not here now was removed; names that are missing are told by `undefined`.
  if (isCalyxError(error, 'not-found')) return NFS4.STALE;
  if (isTemporary(error)) return NFS4.DELAY;
  return isCalyxError(error) ? NFS4.IO : NFS4.SERVERFAULT;
}

/**
 * What ends `operation` in place of `error`. Failures of ours, unlike answers that a client asked for, are told to `exports.onError`.
 */
export function operationError(error: unknown, operation: string, compound: Compound): Nfs4Error {
  if (error instanceof Nfs4Error) return error;
  const { call, current, exports } = compound;
  // When nobody waits for the answer any more, its end is no failure.
  if (!(error instanceof XdrError) && !call.signal.aborted)
    exports.onError(`NFSv4 ${operation}${describeNode(current)}`, call.connection.peer, error);
  return new Nfs4Error(statusOf(error), { cause: error });
}
