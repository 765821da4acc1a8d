import type { TreeNode } from '../../catalog/file-tree.js';
import { CalyxError, isCalyxError } from '../../core/errors.js';
import { formatModelName } from '../../core/names.js';

/** Whether what failed may go well in a while, so that the client should wait and ask again. */
export function isTemporary(error: unknown): boolean {
  if (isCalyxError(error, 'aborted', 'timeout', 'unavailable', 'busy')) return true;
  if (error instanceof CalyxError || !(error instanceof Error)) return false;
  // What signals give as their reason by default.
  return error.name === 'AbortError' || error.name === 'TimeoutError';
}

/** Names a node in a report, after the name of what was asked; nothing if there is none. */
export function describeNode(node: TreeNode | undefined): string {
  if (node === undefined) return '';
  if (node.kind === 'directory') return ` of directory ${node.fileId.toString()}`;
  const { model, revision } = node.revision;
  return ` of file ${node.fileId.toString()} of ${formatModelName(model)}@${revision}`;
}
