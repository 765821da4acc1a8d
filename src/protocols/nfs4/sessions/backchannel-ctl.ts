import { nothing, struct, uint32 } from '../../xdr/codec.js';
import { stateOperation } from '../session-compound.js';
import { callbackSecurity } from './callback-security.js';

/** BACKCHANNEL_CTL (RFC 8881, section 18.33): how to call back, which never happens. */
export const backchannelCtl = stateOperation({
  name: 'BACKCHANNEL_CTL',
  args: struct({ program: uint32, callbackSecurity }),
  result: nothing,
  handle: () => undefined,
});
