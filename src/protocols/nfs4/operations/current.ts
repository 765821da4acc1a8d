import type { Directory, FileNode, TreeNode } from '../../../catalog/file-tree.js';
import type { Compound } from '../operation.js';
import { NFS4, Nfs4Error } from '../status.js';
import { ANONYMOUS_STATE_ID, isCurrentStateId, type StateId } from '../state-id.js';

/** The current filehandle. Throws Nfs4Error `NOFILEHANDLE`. */
export function currentNode({ current }: Compound): TreeNode {
  if (current === undefined) throw new Nfs4Error(NFS4.NOFILEHANDLE);
  return current;
}

/** The current filehandle, of a directory. Throws Nfs4Error `NOFILEHANDLE`, `NOTDIR`. */
export function currentDirectory(compound: Compound): Directory {
  const node = currentNode(compound);
  if (node.kind !== 'directory') throw new Nfs4Error(NFS4.NOTDIR);
  return node;
}

/** The current filehandle, of a file. Throws Nfs4Error `NOFILEHANDLE`, `ISDIR`. */
export function currentFile(compound: Compound): FileNode {
  const node = currentNode(compound);
  if (node.kind !== 'file') throw new Nfs4Error(NFS4.ISDIR);
  return node;
}

/** Sets the current filehandle; with it goes the anonymous stateid, as no state was given (RFC 8881, section 16.2.3.1.2). */
export function setCurrent(compound: Compound, node: TreeNode): void {
  compound.current = node;
  compound.currentStateId = ANONYMOUS_STATE_ID;
}

/** Takes the current filehandle away, as SECINFO does (RFC 8881, section 18.29.3). */
export function consumeCurrent(compound: Compound): void {
  compound.current = undefined;
  compound.currentStateId = undefined;
}

/** A stateid, or the current one where it asks for that (RFC 8881, section 16.2.3.1.2). Throws Nfs4Error `BAD_STATEID`. */
export function currentOr(id: StateId, compound: Compound): StateId {
  if (!isCurrentStateId(id)) return id;
  if (compound.currentStateId === undefined) throw new Nfs4Error(NFS4.BAD_STATEID);
  return compound.currentStateId;
}

/** Checks a stateid that came with an operation that reads. Throws Nfs4Error as `OpenFiles.checkRead` does. */
export function checkReadState(id: StateId, file: FileNode, compound: Compound): void {
  if (compound.client === undefined) throw new Nfs4Error(NFS4.OP_NOT_IN_SESSION);
  compound.client.opens.checkRead(currentOr(id, compound), file);
}
