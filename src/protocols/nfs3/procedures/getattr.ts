import { nothing, struct } from '../../xdr/codec.js';
import { handle3 } from '../arguments3.js';
import { attributes3 } from '../attributes3.js';
import { nodeProcedure } from '../node-procedure.js';

/** GETATTR (RFC 1813, section 3.3.1). */
export const getattr = nodeProcedure({
  name: 'GETATTR',
  args: struct({ object: handle3 }),
  handle: ({ object }) => object,
  ok: struct({ attributes: attributes3 }),
  failed: nothing,
  run: (_, __, { attributes }) => ({ attributes }),
  failure: () => undefined,
});
