import { position64, struct } from '../../xdr/codec.js';
import { bitmap } from '../attributes/bitmap.js';
import { operation } from '../operation.js';
import { stateId } from '../state-id.js';
import { checkReadState, currentFile } from './current.js';

/** IO_ADVISE (RFC 7862, section 15.5): hints are welcome, and none changes what we do. */
export const ioAdvise = operation({
  name: 'IO_ADVISE',
  args: struct({ stateId, offset: position64, count: position64, hints: bitmap }),
  result: struct({ hints: bitmap }),
  handle: ({ stateId: id }, compound) => {
    checkReadState(id, currentFile(compound), compound);
    return { hints: [] };
  },
});
