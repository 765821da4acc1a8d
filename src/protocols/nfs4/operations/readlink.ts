import type { Operation } from '../operation.js';
import { NFS4, Nfs4Error } from '../status.js';
import { currentNode } from './current.js';

/** READLINK (RFC 8881, section 18.24): nothing that we show is a symbolic link. */
export const readlink: Operation = {
  name: 'READLINK',
  call: (_args, _result, compound) => {
    currentNode(compound);
    throw new Nfs4Error(NFS4.WRONG_TYPE);
  },
};
