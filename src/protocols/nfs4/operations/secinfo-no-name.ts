import { enumeration, struct } from '../../xdr/codec.js';
import { operation } from '../operation.js';
import { consumeCurrent, currentDirectory, currentNode } from './current.js';
import { parentOf } from './lookupp.js';
import { SECURITY_FLAVORS, securityFlavors } from './security.js';

/** SECINFO_NO_NAME (RFC 8881, section 18.45). */
export const secinfoNoName = operation({
  name: 'SECINFO_NO_NAME',
  args: struct({ style: enumeration({ current: 0, parent: 1 }) }),
  result: securityFlavors,
  handle: async ({ style }, compound) => {
    if (style === 'parent') await parentOf(currentDirectory(compound), compound);
    else currentNode(compound);
    consumeCurrent(compound);
    return SECURITY_FLAVORS;
  },
});
