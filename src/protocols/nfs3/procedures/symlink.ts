import { struct } from '../../xdr/codec.js';
import { entryOf, path3, settable3 } from '../arguments3.js';
import { changedAttributes, unchanged } from '../attributes3.js';
import { mutation } from '../mutation.js';

/** SYMLINK (RFC 1813, section 3.3.10): refused. */
export const symlink = mutation({
  name: 'SYMLINK',
  args: struct({ where: entryOf, attributes: settable3, target: path3 }),
  handles: ({ where }) => [where.directory],
  failed: struct({ directory: changedAttributes }),
  failure: ([directory]) => ({ directory: unchanged(directory) }),
});
