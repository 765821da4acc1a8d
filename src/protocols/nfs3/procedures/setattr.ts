import { optional, struct } from '../../xdr/codec.js';
import { handle3, settable3 } from '../arguments3.js';
import { changedAttributes, time3, unchanged } from '../attributes3.js';
import { mutation } from '../mutation.js';

/** SETATTR (RFC 1813, section 3.3.2): refused. */
export const setattr = mutation({
  name: 'SETATTR',
  args: struct({ object: handle3, attributes: settable3, guard: optional(time3) }),
  handles: ({ object }) => [object],
  failed: struct({ object: changedAttributes }),
  failure: ([object]) => ({ object: unchanged(object) }),
});
