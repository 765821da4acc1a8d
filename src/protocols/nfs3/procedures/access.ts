import { struct, uint32 } from '../../xdr/codec.js';
import { handle3 } from '../arguments3.js';
import { postOpAttributes, type Attributes3 } from '../attributes3.js';
import { nodeProcedure } from '../node-procedure.js';

const ACCESS = { READ: 0x01, LOOKUP: 0x02, MODIFY: 0x04, EXTEND: 0x08, DELETE: 0x10, EXECUTE: 0x20 } as const;

/**
 * Granted to everyone, though every write is refused: a client that ACCESS denies them tells its user `permission denied`, and never
 * asks for the write, whose answer is the true reason, `read-only file system`.
 */
const WRITES = ACCESS.MODIFY | ACCESS.EXTEND | ACCESS.DELETE;

/** ACCESS (RFC 1813, section 3.3.4). */
export const access = nodeProcedure({
  name: 'ACCESS',
  args: struct({ object: handle3, access: uint32 }),
  handle: ({ object }) => object,
  ok: struct({ attributes: postOpAttributes, access: uint32 }),
  failed: struct({ attributes: postOpAttributes }),
  run: ({ access: asked }, _, { attributes }) => ({ attributes, access: asked & granted(attributes) }),
  failure: (attributes) => ({ attributes }),
});

/** The rights of everyone by the mode. LOOKUP means nothing on a file, EXECUTE nothing on a directory. */
function granted({ type, mode }: Attributes3): number {
  const read = (mode & 0o4) === 0 ? 0 : ACCESS.READ;
  const execute = (mode & 0o1) === 0 ? 0 : type === 'DIR' ? ACCESS.LOOKUP : ACCESS.EXECUTE;
  return read | execute | WRITES;
}
