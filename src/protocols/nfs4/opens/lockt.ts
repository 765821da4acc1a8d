import { nothing, struct, uint64 } from '../../xdr/codec.js';
import { currentFile } from '../operations/current.js';
import { stateOperation } from '../session-compound.js';
import { lockRange } from '../state/lock-range.js';
import { NFS4, Nfs4Error } from '../status.js';
import { isForWriting, lockType } from './lock-type.js';
import { stateOwner } from './open-arguments.js';

/**
 * LOCKT (RFC 8881, section 18.11): whether a lock would be given. For reading always; for writing it is the
 * file system that forbids it.
 *
 * Errors: `ROFS`, `INVAL`, those of the current filehandle.
 */
export const lockt = stateOperation({
  name: 'LOCKT',
  args: struct({ type: lockType, offset: uint64, length: uint64, owner: stateOwner }),
  result: nothing,
  handle: ({ type, offset, length }, compound) => {
    currentFile(compound);
    lockRange(offset, length);
    if (isForWriting(type)) throw new Nfs4Error(NFS4.ROFS);
    return undefined;
  },
});
