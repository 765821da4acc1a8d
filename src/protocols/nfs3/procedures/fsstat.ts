import { position64, struct, uint32 } from '../../xdr/codec.js';
import { handle3 } from '../arguments3.js';
import { postOpAttributes } from '../attributes3.js';
import { nodeProcedure } from '../node-procedure.js';

/** FSSTAT (RFC 1813, section 3.3.18): a full file system, since nothing can be written. */
export const fsstat = nodeProcedure({
  name: 'FSSTAT',
  args: struct({ root: handle3 }),
  handle: ({ root }) => root,
  ok: struct({
    attributes: postOpAttributes,
    totalBytes: position64,
    freeBytes: position64,
    availableBytes: position64,
    totalFiles: position64,
    freeFiles: position64,
    availableFiles: position64,
    unchangedSeconds: uint32,
  }),
  failed: struct({ attributes: postOpAttributes }),
  run: async (_, __, { attributes, exports, call }) => {
    const { bytes, files } = await exports.statistics(call.connection.peer);
    return {
      attributes,
      totalBytes: bytes,
      freeBytes: 0,
      availableBytes: 0,
      totalFiles: files,
      freeFiles: 0,
      availableFiles: 0,
      // A model may be published at any moment.
      unchangedSeconds: 0,
    };
  },
  failure: (attributes) => ({ attributes }),
});
