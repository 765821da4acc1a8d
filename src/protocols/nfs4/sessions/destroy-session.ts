import { fixedOpaque, nothing } from '../../xdr/codec.js';
import { stateOperation } from '../session-compound.js';
import { NFS4, Nfs4Error } from '../status.js';
import { audienceOf } from './audience.js';
import { SESSION_ID_BYTES } from './session-table.js';

/**
 * DESTROY_SESSION (RFC 8881, section 18.37). The session that the compound itself uses may be destroyed by
 * its last operation. Requests that run on other slots are answered, and only their replies are not kept. The
 * connection must be associated with the session.
 *
 * Errors: `BADSESSION`, `NOT_ONLY_OP`, `CONN_NOT_BOUND_TO_SESSION`.
 */
export const destroySession = stateOperation({
  name: 'DESTROY_SESSION',
  args: fixedOpaque(SESSION_ID_BYTES),
  result: nothing,
  handle: (id, compound) => {
    const session = compound.state.sessions.find(id, audienceOf(compound));
    if (session === compound.sequence?.session && compound.position + 1 < compound.operations)
      throw new Nfs4Error(NFS4.NOT_ONLY_OP);
    if (!session.isBound(compound.call.connection)) throw new Nfs4Error(NFS4.CONN_NOT_BOUND_TO_SESSION);
    compound.state.sessions.destroy(session);
    return undefined;
  },
});
