import { nothing } from '../../xdr/codec.js';
import { operation } from '../operation.js';
import { currentNode } from './current.js';

/** SAVEFH (RFC 8881, section 18.28), with the current stateid (section 16.2.3.1.2). */
export const savefh = operation({
  name: 'SAVEFH',
  args: nothing,
  result: nothing,
  handle: (_, compound) => {
    compound.saved = currentNode(compound);
    compound.savedStateId = compound.currentStateId;
    return undefined;
  },
});
