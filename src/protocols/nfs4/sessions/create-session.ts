import {
  decodeWhole,
  encodeWhole,
  fixedOpaque,
  struct,
  uint32,
  uint64,
  type Infer,
} from '../../xdr/codec.js';
import { stateOperation } from '../session-compound.js';
import { NFS4, Nfs4Error } from '../status.js';
import { audienceOf } from './audience.js';
import { callbackSecurity } from './callback-security.js';
import { agreeBackChannel, agreeForeChannel, channelAttributes } from './channel.js';
import { SESSION_ID_BYTES } from './session-table.js';

const args = struct({
  clientId: uint64,
  sequence: uint32,
  flags: uint32,
  fore: channelAttributes,
  back: channelAttributes,
  callbackProgram: uint32,
  callbackSecurity,
});

const result = struct({
  sessionId: fixedOpaque(SESSION_ID_BYTES),
  sequence: uint32,
  flags: uint32,
  fore: channelAttributes,
  back: channelAttributes,
});

/** PERSIST, CONN_BACK_CHAN, CONN_RDMA. */
const KNOWN_FLAGS = 0x7;
/**
 * None of them: replies are not kept over a restart, and there is no back channel. Linux does without one, as
 * long as SEQUENCE never says that the path is down.
 */
const FLAGS = 0;

/**
 * CREATE_SESSION (RFC 8881, section 18.36). It has a slot of its own in the client's record, which keeps the
 * last session that was made; a failure takes nothing from it, so that the same number may be tried again.
 *
 * Errors: `INVAL`, `TOOSMALL`, `STALE_CLIENTID`, `SEQ_MISORDERED`, `CLID_INUSE`, `NOSPC`, `DELAY`.
 */
export const createSession = stateOperation({
  name: 'CREATE_SESSION',
  args,
  result,
  handle: (asked, compound): Infer<typeof result> => {
    if ((asked.flags & ~KNOWN_FLAGS) !== 0) throw new Nfs4Error(NFS4.INVAL);
    const fore = agreeForeChannel(asked.fore);
    const back = agreeBackChannel(asked.back);
    const { clients, sessions, clock } = compound.state;
    const client = clients.find(asked.clientId);
    // The id of a session is for its client alone, and client ids can be guessed.
    const { peer } = compound.call.connection;
    const known = client.peer.address === peer.address && client.peer.security === peer.security;
    if (asked.sequence === client.createSequence && client.createReply !== undefined && known)
      return decodeWhole(result, client.createReply);
    if (asked.sequence !== (client.createSequence + 1) >>> 0) throw new Nfs4Error(NFS4.SEQ_MISORDERED);
    if (!client.confirmed && client.principal !== compound.principal) throw new Nfs4Error(NFS4.CLID_INUSE);
    clients.confirm(client);
    client.renew(clock.now(), peer);
    const session = sessions.create(client, fore, audienceOf(compound));
    session.bind(compound.call.connection);
    const created = { sessionId: session.id, sequence: asked.sequence, flags: FLAGS, fore, back };
    client.createSequence = asked.sequence;
    client.createReply = encodeWhole(result, created);
    return created;
  },
});
