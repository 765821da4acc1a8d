import { bitmap } from '../attributes/bitmap.js';
import { requestOf, subjectOf, writeAttributes } from '../attributes/fattr.js';
import type { Operation } from '../operation.js';
import { NFS4 } from '../status.js';
import { currentNode } from './current.js';

/** GETATTR (RFC 8881, section 18.7). */
export const getattr: Operation = {
  name: 'GETATTR',
  call: async (args, result, compound) => {
    const asked = bitmap.decode(args);
    const node = currentNode(compound);
    const request = requestOf(asked, compound.minorVersion);
    writeAttributes(result, request, await subjectOf(node, request, compound));
    return NFS4.OK;
  },
};
