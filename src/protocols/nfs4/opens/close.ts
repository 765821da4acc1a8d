import { struct, uint32 } from '../../xdr/codec.js';
import { currentFile, currentOr } from '../operations/current.js';
import { clientOf, stateOperation } from '../session-compound.js';
import { stateId } from '../state-id.js';

/** CLOSE (RFC 8881, section 18.2). Errors: those of the current filehandle and of `OpenFiles.close`. */
export const close = stateOperation({
  name: 'CLOSE',
  args: struct({ sequence: uint32, stateId }),
  result: stateId,
  handle: ({ stateId: id }, compound) => {
    const closed = clientOf(compound).opens.close(currentOr(id, compound), currentFile(compound));
    compound.currentStateId = closed;
    return closed;
  },
});
