import type { Directory, TreeNode } from '../../../catalog/file-tree.js';
import { MAX_NAME_BYTES } from '../../nfs/limits.js';
import { cannotBeName, decodeName } from '../../nfs/names.js';
import { opaque, type Codec } from '../../xdr/codec.js';
import { NFS4, Nfs4Error } from '../status.js';

/** So that a name that is too long is told to be that, rather than to be bad XDR. Decoding gives views: nothing is allocated. */
const MAX_WIRE_BYTES = 64 * 1024;

/** A name in a directory as it is sent (component4). */
export const component: Codec<Uint8Array> = opaque(MAX_WIRE_BYTES);

/**
 * The text of a component (RFC 8881, section 14.5).
 *
 * @throws Nfs4Error `INVAL` if it is empty or not UTF-8, `NAMETOOLONG`, `BADNAME` for `.` and `..`, `BADCHAR` for what no name can contain
 */
export function componentName(bytes: Uint8Array): string {
  if (bytes.byteLength === 0) throw new Nfs4Error(NFS4.INVAL);
  if (bytes.byteLength > MAX_NAME_BYTES) throw new Nfs4Error(NFS4.NAMETOOLONG);
  const name = decodeName(bytes);
  if (name === undefined) throw new Nfs4Error(NFS4.INVAL);
  if (name === '.' || name === '..') throw new Nfs4Error(NFS4.BADNAME);
  if (cannotBeName(name)) throw new Nfs4Error(NFS4.BADCHAR);
  return name;
}

/** The entry of a directory. Throws Nfs4Error `NOENT` and what {@link componentName} throws. */
export async function lookupComponent(directory: Directory, bytes: Uint8Array): Promise<TreeNode> {
  const node = await directory.lookup(componentName(bytes));
  if (node === undefined) throw new Nfs4Error(NFS4.NOENT);
  return node;
}
