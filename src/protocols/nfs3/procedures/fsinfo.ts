import { MAX_READ_BYTES } from '../../nfs/limits.js';
import { struct, uint32, uint64 } from '../../xdr/codec.js';
import { handle3 } from '../arguments3.js';
import { postOpAttributes, time3 } from '../attributes3.js';
import { MAX_LISTING_BYTES, MAX_WRITE_BYTES, TRANSFER_MULTIPLE } from '../limits.js';
import { nodeProcedure } from '../node-procedure.js';

/** FSF3_HOMOGENEOUS: PATHCONF is the same everywhere. Not CANSETTIME, LINK or SYMLINK: those are writes. */
const HOMOGENEOUS = 0x0008;

const MAX_FILE_BYTES = 2n ** 63n - 1n;

/** FSINFO (RFC 1813, section 3.3.19). */
export const fsinfo = nodeProcedure({
  name: 'FSINFO',
  args: struct({ root: handle3 }),
  handle: ({ root }) => root,
  ok: struct({
    attributes: postOpAttributes,
    readMax: uint32,
    readPreferred: uint32,
    readMultiple: uint32,
    writeMax: uint32,
    writePreferred: uint32,
    writeMultiple: uint32,
    listingPreferred: uint32,
    maxFileSize: uint64,
    timeDelta: time3,
    properties: uint32,
  }),
  failed: struct({ attributes: postOpAttributes }),
  run: (_, __, { attributes }) => ({
    attributes,
    readMax: MAX_READ_BYTES,
    readPreferred: MAX_READ_BYTES,
    readMultiple: TRANSFER_MULTIPLE,
    writeMax: MAX_WRITE_BYTES,
    writePreferred: MAX_WRITE_BYTES,
    writeMultiple: TRANSFER_MULTIPLE,
    listingPreferred: MAX_LISTING_BYTES,
    maxFileSize: MAX_FILE_BYTES,
    timeDelta: { seconds: 0, nanoseconds: 1 },
    properties: HOMOGENEOUS,
  }),
  failure: (attributes) => ({ attributes }),
});
