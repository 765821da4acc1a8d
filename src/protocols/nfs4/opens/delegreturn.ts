import { nothing, struct } from '../../xdr/codec.js';
import { currentNode, currentOr } from '../operations/current.js';
import { clientOf, stateOperation } from '../session-compound.js';
import { stateId } from '../state-id.js';
import { NFS4, Nfs4Error } from '../status.js';

/**
 * DELEGRETURN (RFC 8881, section 18.6). Nobody has a delegation: `BAD_STATEID`, `STALE_STATEID` for one of
 * another run, `OLD_STATEID`.
 */
export const delegreturn = stateOperation({
  name: 'DELEGRETURN',
  args: struct({ stateId }),
  result: nothing,
  handle: ({ stateId: id }, compound) => {
    currentNode(compound);
    clientOf(compound).opens.test(currentOr(id, compound));
    throw new Nfs4Error(NFS4.BAD_STATEID);
  },
});
