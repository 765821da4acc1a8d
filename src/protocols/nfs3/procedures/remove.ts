import { struct } from '../../xdr/codec.js';
import { entryOf } from '../arguments3.js';
import { changedAttributes, unchanged } from '../attributes3.js';
import { mutation } from '../mutation.js';

/** REMOVE (RFC 1813, section 3.3.12): refused. */
export const remove = mutation({
  name: 'REMOVE',
  args: struct({ object: entryOf }),
  handles: ({ object }) => [object.directory],
  failed: struct({ directory: changedAttributes }),
  failure: ([directory]) => ({ directory: unchanged(directory) }),
});
