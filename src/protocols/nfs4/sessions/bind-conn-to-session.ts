import { bool, enumeration, fixedOpaque, struct, uint32 } from '../../xdr/codec.js';
import { stateOperation } from '../session-compound.js';
import { audienceOf } from './audience.js';
import { SESSION_ID_BYTES } from './session-table.js';

/** channel_dir_from_client4. */
const wish = enumeration({ fore: 1, back: 2, foreOrBoth: 3, backOrBoth: 7 });

/** channel_dir_from_server4: the fore channel alone where the client leaves the choice. */
const GRANTED = { fore: 1, back: 2, foreOrBoth: 1, backOrBoth: 3 } as const;

/**
 * BIND_CONN_TO_SESSION (RFC 8881, section 18.34). SEQUENCE on any connection does the same for the fore
 * channel. A client that offers a connection for the back channel alone is told that it is one; it is never
 * used.
 *
 * Errors: `BADSESSION`.
 */
export const bindConnToSession = stateOperation({
  name: 'BIND_CONN_TO_SESSION',
  args: struct({ sessionId: fixedOpaque(SESSION_ID_BYTES), direction: wish, rdma: bool }),
  result: struct({ sessionId: fixedOpaque(SESSION_ID_BYTES), direction: uint32, rdma: bool }),
  handle: ({ sessionId, direction }, compound) => {
    const session = compound.state.sessions.find(sessionId, audienceOf(compound));
    session.bind(compound.call.connection);
    return { sessionId: session.id, direction: GRANTED[direction], rdma: false };
  },
});
