import { struct } from '../../xdr/codec.js';
import { operation } from '../operation.js';
import { component, lookupComponent } from './component.js';
import { consumeCurrent, currentDirectory } from './current.js';
import { SECURITY_FLAVORS, securityFlavors } from './security.js';

/** SECINFO (RFC 8881, section 18.29). */
export const secinfo = operation({
  name: 'SECINFO',
  args: struct({ name: component }),
  result: securityFlavors,
  handle: async ({ name }, compound) => {
    await lookupComponent(currentDirectory(compound), name);
    consumeCurrent(compound);
    return SECURITY_FLAVORS;
  },
});
