import type { Directory, TreeNode } from '../../catalog/file-tree.js';
import { MAX_NAME_BYTES } from '../nfs/limits.js';
import { cannotBeName, decodeName } from '../nfs/names.js';
import { NFS3, Nfs3Error } from './status.js';

/** The node as a directory; throws Nfs3Error NOTDIR. */
export function asDirectory(node: TreeNode): Directory {
  if (node.kind !== 'directory') throw new Nfs3Error(NFS3.NOTDIR);
  return node;
}

/** An entry of a directory, `.` and `..` among them; undefined if there is none. */
export async function entryNamed(directory: Directory, name: string): Promise<TreeNode | undefined> {
  if (name === '.') return directory;
  if (name === '..') return directory.parent();
  return directory.lookup(name);
}

/**
 * A name as trees have it, from the bytes of a request.
 *
 * @throws Nfs3Error NAMETOOLONG; NOENT for what can be no entry's name: nothing, other than UTF-8, with a slash or a zero
 */
export function entryName(bytes: Uint8Array): string {
  if (bytes.byteLength > MAX_NAME_BYTES) throw new Nfs3Error(NFS3.NAMETOOLONG);
  const name = decodeName(bytes);
  if (name === undefined || name === '' || cannotBeName(name)) throw new Nfs3Error(NFS3.NOENT);
  return name;
}
