import { attributesOf } from '../../nfs/attributes.js';
import { struct, uint32 } from '../../xdr/codec.js';
import { operation } from '../operation.js';
import { currentNode } from './current.js';

/** RFC 8881, section 18.1.1. */
const ACCESS4 = { READ: 1, LOOKUP: 2, MODIFY: 4, EXTEND: 8, DELETE: 0x10, EXECUTE: 0x20 } as const;

/**
 * Granted to everybody though nothing can be written: a client that is denied them tells its user EACCES, while the reason is the
 * read-only file system, which every change then answers (ROFS).
 */
const CHANGES = ACCESS4.MODIFY | ACCESS4.EXTEND | ACCESS4.DELETE;
const READ_MODE = 0o444;
const EXECUTE_MODE = 0o111;

/** ACCESS (RFC 8881, section 18.1): by the mode, the same for everyone. */
export const access = operation({
  name: 'ACCESS',
  args: struct({ access: uint32 }),
  result: struct({ supported: uint32, access: uint32 }),
  handle: async ({ access: asked }, compound) => {
    const node = currentNode(compound);
    const { mode } = await attributesOf(node);
    // The protocol has EXECUTE for files and LOOKUP for directories, each without a meaning for the other.
    const execute = node.kind === 'directory' ? ACCESS4.LOOKUP : ACCESS4.EXECUTE;
    const supported = asked & (ACCESS4.READ | execute | CHANGES);
    const granted =
      CHANGES | ((mode & READ_MODE) !== 0 ? ACCESS4.READ : 0) | ((mode & EXECUTE_MODE) !== 0 ? execute : 0);
    return { supported, access: supported & granted };
  },
});
