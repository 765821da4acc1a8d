import { nothing, uint64 } from '../../xdr/codec.js';
import { stateOperation } from '../session-compound.js';
import { NFS4, Nfs4Error } from '../status.js';

/**
 * DESTROY_CLIENTID (RFC 8881, section 18.50). Errors: `STALE_CLIENTID`, `CLIENTID_BUSY` while it has sessions
 * or open files.
 */
export const destroyClientId = stateOperation({
  name: 'DESTROY_CLIENTID',
  args: uint64,
  result: nothing,
  handle: (clientId, { state: { clients } }) => {
    const client = clients.find(clientId);
    if (client.hasState && !clients.isExpired(client)) throw new Nfs4Error(NFS4.CLIENTID_BUSY);
    clients.remove(client);
    return undefined;
  },
});
