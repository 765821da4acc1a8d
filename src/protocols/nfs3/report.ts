import type { TreeNode } from '../../catalog/file-tree.js';
import { formatModelName } from '../../core/names.js';
import type { NfsExports } from '../nfs/exports.js';
import type { RpcCall } from '../rpc/rpc-program.js';
import { Nfs3Error } from './status.js';

/** Tells of a failure that is no ordinary answer, unless nobody waits for the answer any more. */
export function reportFailure(exports: NfsExports, call: RpcCall, what: string, error: unknown): void {
  if (error instanceof Nfs3Error || call.signal.aborted) return;
  exports.onError(`NFSv3 ${what}`, call.connection.peer, error);
}

/** Names a node in a report, after the name of a procedure. */
export function describe(node: TreeNode | undefined): string {
  if (node === undefined) return '';
  if (node.kind === 'directory') return ` of directory ${node.fileId.toString()}`;
  const { model, revision } = node.revision;
  return ` of file ${node.fileId.toString()} of ${formatModelName(model)}@${revision}`;
}
