import { struct, uint32, uint64 } from '../../xdr/codec.js';
import { currentFile, currentOr } from '../operations/current.js';
import { clientOf, stateOperation } from '../session-compound.js';
import { lockRange } from '../state/lock-range.js';
import { stateId } from '../state-id.js';
import { lockType } from './lock-type.js';

/**
 * LOCKU (RFC 8881, section 18.12). Errors: `INVAL`, those of the current filehandle and of
 * `OpenTable.unlock`.
 */
export const locku = stateOperation({
  name: 'LOCKU',
  args: struct({ type: lockType, sequence: uint32, stateId, offset: uint64, length: uint64 }),
  result: stateId,
  handle: ({ stateId: id, offset, length }, compound) => {
    const range = lockRange(offset, length);
    const left = clientOf(compound).opens.unlock(currentOr(id, compound), currentFile(compound), range);
    compound.currentStateId = left;
    return left;
  },
});
