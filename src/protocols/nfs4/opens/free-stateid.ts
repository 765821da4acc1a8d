import { nothing } from '../../xdr/codec.js';
import { currentOr } from '../operations/current.js';
import { clientOf, stateOperation } from '../session-compound.js';
import { stateId } from '../state-id.js';

/**
 * FREE_STATEID (RFC 8881, section 18.38). Errors: `LOCKS_HELD`, `BAD_STATEID`, `OLD_STATEID`,
 * `STALE_STATEID`.
 */
export const freeStateId = stateOperation({
  name: 'FREE_STATEID',
  args: stateId,
  result: nothing,
  handle: (id, compound) => {
    clientOf(compound).opens.free(currentOr(id, compound));
    return undefined;
  },
});
