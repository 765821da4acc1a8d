import { array, nothing, opaque, struct, uint32, union } from '../../xdr/codec.js';

const MAX_HANDLE_BYTES = 1024;
const MAX_MACHINE_BYTES = 255;
const MAX_GROUPS = 16;
const MAX_WAYS = 8;

/** How a client wants to be called back (callback_sec_parms4, RFC 8881, section 18.33.1). Nobody calls it. */
export const callbackSecurity = array(
  union({
    none: [0, nothing],
    sys: [
      1,
      struct({
        stamp: uint32,
        machine: opaque(MAX_MACHINE_BYTES),
        uid: uint32,
        gid: uint32,
        gids: array(uint32, MAX_GROUPS),
      }),
    ],
    gss: [6, struct({ service: uint32, server: opaque(MAX_HANDLE_BYTES), client: opaque(MAX_HANDLE_BYTES) })],
  }),
  MAX_WAYS,
);
