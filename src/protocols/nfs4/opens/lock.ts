import { bool, struct, uint32, uint64, union } from '../../xdr/codec.js';
import { currentFile, currentOr } from '../operations/current.js';
import { clientOf, stateOperation } from '../session-compound.js';
import { lockRange } from '../state/lock-range.js';
import { stateId } from '../state-id.js';
import { NFS4, Nfs4Error } from '../status.js';
import { isForWriting, lockType } from './lock-type.js';
import { stateOwner } from './open-arguments.js';

/**
 * LOCK (RFC 8881, section 18.10). Locks for reading are given at once and to all, which is what they mean
 * where nobody can write. Locks for writing need a file that is open for writing, which none is.
 *
 * Errors: `OPENMODE`, `INVAL`, `GRACE` before RECLAIM_COMPLETE, those of the current filehandle and of
 * `OpenTable.lock`.
 */
export const lock = stateOperation({
  name: 'LOCK',
  args: struct({
    type: lockType,
    reclaim: bool,
    offset: uint64,
    length: uint64,
    locker: union({
      more: [0, struct({ stateId, sequence: uint32 })],
      first: [1, struct({ openSequence: uint32, stateId, sequence: uint32, owner: stateOwner })],
    }),
  }),
  result: stateId,
  handle: ({ type, reclaim, offset, length, locker }, compound) => {
    const file = currentFile(compound);
    const client = clientOf(compound);
    const range = lockRange(offset, length);
    if (!reclaim && !client.reclaimComplete) throw new Nfs4Error(NFS4.GRACE);
    const id = currentOr(locker.value.stateId, compound);
    if (isForWriting(type)) {
      client.opens.test(id);
      throw new Nfs4Error(NFS4.OPENMODE);
    }
    const locked =
      locker.kind === 'first'
        ? client.opens.lock(id, file, locker.value.owner.owner, range)
        : client.opens.lockMore(id, file, range);
    compound.currentStateId = locked;
    return locked;
  },
});
