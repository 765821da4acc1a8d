import { struct, uint32 } from '../../xdr/codec.js';
import { currentFile, currentOr } from '../operations/current.js';
import { clientOf, stateOperation } from '../session-compound.js';
import { stateId } from '../state-id.js';

/**
 * OPEN_DOWNGRADE (RFC 8881, section 18.18). Errors: those of the current filehandle and of
 * `OpenFiles.downgrade`.
 */
export const openDowngrade = stateOperation({
  name: 'OPEN_DOWNGRADE',
  args: struct({ stateId, sequence: uint32, access: uint32, deny: uint32 }),
  result: stateId,
  handle: ({ stateId: id, access, deny }, compound) => {
    const { opens } = clientOf(compound);
    const reduced = opens.downgrade(currentOr(id, compound), currentFile(compound), { access, deny });
    compound.currentStateId = reduced;
    return reduced;
  },
});
