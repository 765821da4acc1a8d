import type { FileTree, TreeNode } from '../../../catalog/file-tree.js';
import { isCalyxError } from '../../../core/errors.js';
import { nothing, opaque, struct } from '../../xdr/codec.js';
import { MAX_HANDLE_BYTES } from '../limits.js';
import { operation } from '../operation.js';
import { NFS4, Nfs4Error } from '../status.js';
import { setCurrent } from './current.js';

/** PUTFH (RFC 8881, section 18.19). */
export const putfh = operation({
  name: 'PUTFH',
  args: struct({ handle: opaque(MAX_HANDLE_BYTES) }),
  result: nothing,
  handle: async ({ handle }, compound) => {
    const node = await find(compound.tree, handle);
    if (node === undefined) throw new Nfs4Error(NFS4.STALE);
    setCurrent(compound, node);
    return undefined;
  },
});

async function find(tree: FileTree, handle: Uint8Array): Promise<TreeNode | undefined> {
  try {
    return await tree.find(handle);
  } catch (error) {
    // No tree ever made it.
    if (isCalyxError(error, 'usage')) throw new Nfs4Error(NFS4.BADHANDLE, { cause: error });
    throw error;
  }
}
