import { bool, position64, struct, uint32 } from '../../xdr/codec.js';
import { operation } from '../operation.js';
import { stateId } from '../state-id.js';
import { NFS4, Nfs4Error } from '../status.js';
import { checkReadState, currentFile } from './current.js';

/** data_content4 (RFC 7863). */
const CONTENT = { DATA: 0, HOLE: 1 } as const;

/** SEEK (RFC 7862, section 15.11). Files are all data; the only hole is the virtual one at the end. */
export const seek = operation({
  name: 'SEEK',
  args: struct({ stateId, offset: position64, what: uint32 }),
  result: struct({ eof: bool, offset: position64 }),
  handle: ({ stateId: id, offset, what }, compound) => {
    const file = currentFile(compound);
    checkReadState(id, file, compound);
    if (what !== CONTENT.DATA && what !== CONTENT.HOLE) throw new Nfs4Error(NFS4.UNION_NOTSUPP);
    // At the end as well, where lseek(2) says ENXIO.
    if (offset >= file.size) throw new Nfs4Error(NFS4.NXIO);
    return what === CONTENT.DATA ? { eof: false, offset } : { eof: true, offset: file.size };
  },
});
