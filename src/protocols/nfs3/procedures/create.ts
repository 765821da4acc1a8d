import { struct, union } from '../../xdr/codec.js';
import { entryOf, settable3, verifier3 } from '../arguments3.js';
import { changedAttributes, unchanged } from '../attributes3.js';
import { mutation } from '../mutation.js';

/** createhow3. */
const how = union({ UNCHECKED: [0, settable3], GUARDED: [1, settable3], EXCLUSIVE: [2, verifier3] });

/** CREATE (RFC 1813, section 3.3.8): refused. */
export const create = mutation({
  name: 'CREATE',
  args: struct({ where: entryOf, how }),
  handles: ({ where }) => [where.directory],
  failed: struct({ directory: changedAttributes }),
  failure: ([directory]) => ({ directory: unchanged(directory) }),
});
