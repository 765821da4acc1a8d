import { opaque, struct, uint32, uint64 } from '../../xdr/codec.js';
import { handle3, ignoredNumber } from '../arguments3.js';
import { changedAttributes, unchanged } from '../attributes3.js';
import { MAX_WRITE_BYTES } from '../limits.js';
import { mutation } from '../mutation.js';

/** WRITE (RFC 1813, section 3.3.7): refused. */
export const write = mutation({
  name: 'WRITE',
  args: struct({
    file: handle3,
    offset: uint64,
    count: uint32,
    stable: ignoredNumber,
    data: opaque(MAX_WRITE_BYTES),
  }),
  handles: ({ file }) => [file],
  failed: struct({ file: changedAttributes }),
  failure: ([file]) => ({ file: unchanged(file) }),
});
