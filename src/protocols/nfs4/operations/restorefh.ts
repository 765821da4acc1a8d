import { nothing } from '../../xdr/codec.js';
import { operation } from '../operation.js';
import { NFS4, Nfs4Error } from '../status.js';

/** RESTOREFH (RFC 8881, section 18.27), with the stateid that was saved along (section 16.2.3.1.2). */
export const restorefh = operation({
  name: 'RESTOREFH',
  args: nothing,
  result: nothing,
  handle: (_, compound) => {
    if (compound.saved === undefined) throw new Nfs4Error(NFS4.NOFILEHANDLE);
    compound.current = compound.saved;
    compound.currentStateId = compound.savedStateId;
    return undefined;
  },
});
