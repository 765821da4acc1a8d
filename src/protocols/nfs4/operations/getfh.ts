import { nothing, opaque, struct } from '../../xdr/codec.js';
import { MAX_HANDLE_BYTES } from '../limits.js';
import { operation } from '../operation.js';
import { currentNode } from './current.js';

/** GETFH (RFC 8881, section 18.8). */
export const getfh = operation({
  name: 'GETFH',
  args: nothing,
  result: struct({ handle: opaque(MAX_HANDLE_BYTES) }),
  handle: (_, compound) => ({ handle: currentNode(compound).handle }),
});
