import { nothing, struct, union } from '../../xdr/codec.js';
import { entryOf, settable3 } from '../arguments3.js';
import { changedAttributes, device3, FILE_TYPES, unchanged } from '../attributes3.js';
import { mutation } from '../mutation.js';

const device = struct({ attributes: settable3, device: device3 });

/** mknoddata3. */
const what = union({
  REG: [FILE_TYPES.REG, nothing],
  DIR: [FILE_TYPES.DIR, nothing],
  BLK: [FILE_TYPES.BLK, device],
  CHR: [FILE_TYPES.CHR, device],
  LNK: [FILE_TYPES.LNK, nothing],
  SOCK: [FILE_TYPES.SOCK, settable3],
  FIFO: [FILE_TYPES.FIFO, settable3],
});

/** MKNOD (RFC 1813, section 3.3.11): refused. */
export const mknod = mutation({
  name: 'MKNOD',
  args: struct({ where: entryOf, what }),
  handles: ({ where }) => [where.directory],
  failed: struct({ directory: changedAttributes }),
  failure: ([directory]) => ({ directory: unchanged(directory) }),
});
