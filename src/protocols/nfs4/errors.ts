import type { TreeNode } from '../../catalog/file-tree.js';
import { isCalyxError } from '../../core/errors.js';
import { formatModelName } from '../../core/names.js';
import { XdrError } from '../xdr/xdr-error.js';
import type { Compound } from './operation.js';
import { NFS4, Nfs4Error, type Nfs4Status } from './status.js';

/** The status for anything that an operation threw. */
export function statusOf(error: unknown): Nfs4Status {
  if (error instanceof Nfs4Error) return error.status;
  if (error instanceof XdrError) return NFS4.BADXDR;
  // What was shown a moment ago and is not here now was removed; names that are missing are told by `undefined`.
  if (isCalyxError(error, 'not-found')) return NFS4.STALE;
  // The client asks again after a while: a source may be back by then.
  if (isCalyxError(error, 'aborted', 'timeout', 'unavailable', 'busy') || isAbort(error)) return NFS4.DELAY;
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
    exports.onError(`${operation} of ${describe(current)}`, call.connection.peer, error);
  return new Nfs4Error(statusOf(error), { cause: error });
}

function describe(node: TreeNode | undefined): string {
  if (node === undefined) return 'no file';
  if (node.kind === 'directory') return `the directory with file id ${String(node.fileId)}`;
  const { model, revision } = node.revision;
  return `the file with file id ${String(node.fileId)} of ${formatModelName(model)}@${revision}`;
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError');
}
