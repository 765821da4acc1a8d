import { struct } from '../../xdr/codec.js';
import { entryOf, settable3 } from '../arguments3.js';
import { changedAttributes, unchanged } from '../attributes3.js';
import { mutation } from '../mutation.js';

/** MKDIR (RFC 1813, section 3.3.9): refused. */
export const mkdir = mutation({
  name: 'MKDIR',
  args: struct({ where: entryOf, attributes: settable3 }),
  handles: ({ where }) => [where.directory],
  failed: struct({ directory: changedAttributes }),
  failure: ([directory]) => ({ directory: unchanged(directory) }),
});
