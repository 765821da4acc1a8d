import { nothing } from '../../xdr/codec.js';
import { fattr, hasAttributes } from '../attributes/fattr.js';
import { operation } from '../operation.js';
import { NFS4, Nfs4Error } from '../status.js';
import { currentNode } from './current.js';

/** VERIFY (RFC 8881, section 18.30): goes on if the attributes are the same. */
export const verify = operation({
  name: 'VERIFY',
  args: fattr,
  result: nothing,
  handle: async (expected, compound) => {
    if (!(await hasAttributes(currentNode(compound), expected, compound))) throw new Nfs4Error(NFS4.NOT_SAME);
    return undefined;
  },
});

/** NVERIFY (RFC 8881, section 18.15): goes on if they differ. */
export const nverify = operation({
  name: 'NVERIFY',
  args: fattr,
  result: nothing,
  handle: async (expected, compound) => {
    if (await hasAttributes(currentNode(compound), expected, compound)) throw new Nfs4Error(NFS4.SAME);
    return undefined;
  },
});
