import { struct } from '../../xdr/codec.js';
import { entryOf } from '../arguments3.js';
import { changedAttributes, unchanged } from '../attributes3.js';
import { mutation } from '../mutation.js';

/** RMDIR (RFC 1813, section 3.3.13): refused. */
export const rmdir = mutation({
  name: 'RMDIR',
  args: struct({ object: entryOf }),
  handles: ({ object }) => [object.directory],
  failed: struct({ directory: changedAttributes }),
  failure: ([directory]) => ({ directory: unchanged(directory) }),
});
