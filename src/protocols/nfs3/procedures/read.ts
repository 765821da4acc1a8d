import { MAX_READ_BYTES } from '../../nfs/limits.js';
import { readFileRange } from '../../nfs/read-file.js';
import { bool, payload, position64, struct, uint32 } from '../../xdr/codec.js';
import { handle3 } from '../arguments3.js';
import { postOpAttributes } from '../attributes3.js';
import { nodeProcedure } from '../node-procedure.js';
import { NFS3, Nfs3Error } from '../status.js';

/** READ (RFC 1813, section 3.3.6). */
export const read = nodeProcedure({
  name: 'READ',
  args: struct({ file: handle3, offset: position64, count: uint32 }),
  handle: ({ file }) => file,
  ok: struct({
    attributes: postOpAttributes,
    count: uint32,
    eof: bool,
    data: payload(MAX_READ_BYTES),
  }),
  failed: struct({ attributes: postOpAttributes }),
  run: async ({ offset, count }, node, { attributes, call, exports }) => {
    // Not among the errors that the RFC lists for READ, but in section 2.6 it means just this, read(2) says the same of a
    // directory, and Linux passes it on; INVAL would tell the user less.
    if (node.kind === 'directory') throw new Nfs3Error(NFS3.ISDIR);
    exports.usage.read(node, call.connection.peer);
    const wanted = Math.min(count, MAX_READ_BYTES, Math.max(node.size - offset, 0));
    await call.reserve(wanted);
    // From here on nothing may fail until the reply, which gives the bytes back.
    const data = await readFileRange(node, offset, wanted, exports.source, call.signal);
    const got = data.parts.reduce((sum, part) => sum + part.byteLength, 0);
    return { attributes, count: got, eof: offset + got >= node.size, data };
  },
  failure: (attributes) => ({ attributes }),
});
