import { struct, uint32, uint64 } from '../../xdr/codec.js';
import { handle3 } from '../arguments3.js';
import { changedAttributes, unchanged } from '../attributes3.js';
import { mutation } from '../mutation.js';

/**
 * COMMIT (RFC 1813, section 3.3.21): refused like every mutation, though the RFC's list for it lacks ROFS (kernel servers answer the
 * same for a read-only export). A client sends it after a WRITE, none of which ever succeeded here; to succeed would tell it that its
 * data is safe.
 */
export const commit = mutation({
  name: 'COMMIT',
  args: struct({ file: handle3, offset: uint64, count: uint32 }),
  handles: ({ file }) => [file],
  failed: struct({ file: changedAttributes }),
  failure: ([file]) => ({ file: unchanged(file) }),
});
