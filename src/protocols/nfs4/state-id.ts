import { fixedOpaque, struct, uint32, type Infer } from '../xdr/codec.js';

/** Names a state of an open file (RFC 8881, section 8.2): a sequence number and 12 bytes that only the server reads. */
export const stateId = struct({ sequence: uint32, other: fixedOpaque(12) });

export type StateId = Infer<typeof stateId>;
