import { nothing, struct } from '../../xdr/codec.js';
import { operation } from '../operation.js';
import { component, lookupComponent } from './component.js';
import { currentDirectory, setCurrent } from './current.js';

/** LOOKUP (RFC 8881, section 18.13). */
export const lookup = operation({
  name: 'LOOKUP',
  args: struct({ name: component }),
  result: nothing,
  handle: async ({ name }, compound) => {
    setCurrent(compound, await lookupComponent(currentDirectory(compound), name));
    return undefined;
  },
});
