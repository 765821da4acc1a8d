import { array, uint32 } from '../../xdr/codec.js';
import { clientOf, stateOperation } from '../session-compound.js';
import { stateId } from '../state-id.js';
import { NFS4, Nfs4Error, type Nfs4Status } from '../status.js';

const MAX_STATE_IDS = 4096;

/** TEST_STATEID (RFC 8881, section 18.48): which stateids are still good, each with a status of its own. */
export const testStateId = stateOperation({
  name: 'TEST_STATEID',
  args: array(stateId, MAX_STATE_IDS),
  result: array(uint32, MAX_STATE_IDS),
  handle: (ids, compound) => {
    const { opens } = clientOf(compound);
    return ids.map((id): Nfs4Status => {
      try {
        opens.test(id);
        return NFS4.OK;
      } catch (error) {
        if (error instanceof Nfs4Error) return error.status;
        throw error;
      }
    });
  },
});
