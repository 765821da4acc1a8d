import { struct } from '../../xdr/codec.js';
import { entryOf } from '../arguments3.js';
import { changedAttributes, unchanged } from '../attributes3.js';
import { mutation } from '../mutation.js';

/** RENAME (RFC 1813, section 3.3.14): refused. */
export const rename = mutation({
  name: 'RENAME',
  args: struct({ from: entryOf, to: entryOf }),
  handles: ({ from, to }) => [from.directory, to.directory],
  failed: struct({ from: changedAttributes, to: changedAttributes }),
  failure: ([from, to]) => ({ from: unchanged(from), to: unchanged(to) }),
});
