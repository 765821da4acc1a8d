import type { Directory } from '../../../catalog/file-tree.js';
import { nothing } from '../../xdr/codec.js';
import { operation, type Compound } from '../operation.js';
import { NFS4, Nfs4Error } from '../status.js';
import { currentDirectory, setCurrent } from './current.js';

/** LOOKUPP (RFC 8881, section 18.14). */
export const lookupp = operation({
  name: 'LOOKUPP',
  args: nothing,
  result: nothing,
  handle: async (_, compound) => {
    setCurrent(compound, await parentOf(currentDirectory(compound), compound));
    return undefined;
  },
});

/** The directory above. Throws Nfs4Error `NOENT` at the root, and where the directory above is gone. */
export async function parentOf(directory: Directory, { tree }: Compound): Promise<Directory> {
  const isRoot = Buffer.compare(directory.handle, tree.root.handle) === 0;
  const parent = isRoot ? undefined : await directory.parent();
  if (parent === undefined) throw new Nfs4Error(NFS4.NOENT);
  return parent;
}
