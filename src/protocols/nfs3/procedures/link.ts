import { struct } from '../../xdr/codec.js';
import { entryOf, handle3 } from '../arguments3.js';
import { changedAttributes, postOpAttributes, unchanged } from '../attributes3.js';
import { mutation } from '../mutation.js';

/** LINK (RFC 1813, section 3.3.15): refused. */
export const link = mutation({
  name: 'LINK',
  args: struct({ file: handle3, link: entryOf }),
  handles: ({ file, link: { directory } }) => [file, directory],
  failed: struct({ file: postOpAttributes, directory: changedAttributes }),
  failure: ([file, directory]) => ({ file, directory: unchanged(directory) }),
});
