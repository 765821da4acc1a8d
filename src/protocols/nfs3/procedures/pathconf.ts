import { MAX_NAME_BYTES } from '../../nfs/limits.js';
import { bool, struct, uint32 } from '../../xdr/codec.js';
import { handle3 } from '../arguments3.js';
import { postOpAttributes } from '../attributes3.js';
import { nodeProcedure } from '../node-procedure.js';

/** PATHCONF (RFC 1813, section 3.3.20). */
export const pathconf = nodeProcedure({
  name: 'PATHCONF',
  args: struct({ object: handle3 }),
  handle: ({ object }) => object,
  ok: struct({
    attributes: postOpAttributes,
    maxLinks: uint32,
    maxNameBytes: uint32,
    refusesLongNames: bool,
    chownRestricted: bool,
    caseInsensitive: bool,
    casePreserving: bool,
  }),
  failed: struct({ attributes: postOpAttributes }),
  run: (_, __, { attributes }) => ({
    attributes,
    maxLinks: 1,
    maxNameBytes: MAX_NAME_BYTES,
    refusesLongNames: true,
    chownRestricted: true,
    caseInsensitive: false,
    casePreserving: true,
  }),
  failure: (attributes) => ({ attributes }),
});
