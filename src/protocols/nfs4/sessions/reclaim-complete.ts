import { bool, nothing } from '../../xdr/codec.js';
import { clientOf, stateOperation } from '../session-compound.js';
import { NFS4, Nfs4Error } from '../status.js';

/**
 * RECLAIM_COMPLETE (RFC 8881, section 18.51): the client has all its files open again. There is no grace
 * period that it could end; it only allows the client to open others. For one file system alone, which needs
 * a current filehandle, it says nothing new.
 *
 * Errors: `COMPLETE_ALREADY`, `NOFILEHANDLE`.
 */
export const reclaimComplete = stateOperation({
  name: 'RECLAIM_COMPLETE',
  args: bool,
  result: nothing,
  handle: (oneFileSystem, compound) => {
    const client = clientOf(compound);
    if (oneFileSystem) {
      if (compound.current === undefined) throw new Nfs4Error(NFS4.NOFILEHANDLE);
      return undefined;
    }
    if (client.reclaimComplete) throw new Nfs4Error(NFS4.COMPLETE_ALREADY);
    client.reclaimComplete = true;
    return undefined;
  },
});
