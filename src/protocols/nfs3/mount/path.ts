import type { Directory, FileTree, TreeNode } from '../../../catalog/file-tree.js';
import { opaque } from '../../xdr/codec.js';
import { asDirectory, entryName, entryNamed } from '../entries.js';
import { NFS3, Nfs3Error } from '../status.js';

/** MNTPATHLEN. */
const MAX_PATH_BYTES = 1024;

/** dirpath (RFC 1813, section 5.1.4). */
export const path = opaque(MAX_PATH_BYTES);

const SLASH = 0x2f;

/**
 * The directory at a path from the root of the tree; slashes may be doubled, stand at the end, or lack at the beginning.
 *
 * @throws Nfs3Error NOENT, NOTDIR if a file is or stands in the way, NAMETOOLONG
 */
export async function directoryAt(tree: FileTree, bytes: Uint8Array): Promise<Directory> {
  let node: TreeNode | undefined = tree.root;
  for (const name of splitPath(bytes)) {
    node = await entryNamed(asDirectory(node), entryName(name));
    if (node === undefined) throw new Nfs3Error(NFS3.NOENT);
  }
  return asDirectory(node);
}

function splitPath(bytes: Uint8Array): Uint8Array[] {
  const names: Uint8Array[] = [];
  let from = 0;
  for (let at = 0; at <= bytes.byteLength; at += 1) {
    if (at < bytes.byteLength && bytes[at] !== SLASH) continue;
    if (at > from) names.push(bytes.subarray(from, at));
    from = at + 1;
  }
  return names;
}
