import { array, fixedOpaque, opaque, struct, uint32, uint64, union, nothing } from '../../xdr/codec.js';
import { stateOperation } from '../session-compound.js';
import { NFS4, Nfs4Error } from '../status.js';

const MAX_OPAQUE_BYTES = 1024;

const bits = array(uint32, 8);
const protectedOperations = struct({ enforce: bits, allow: bits });
const objectIds = array(opaque(MAX_OPAQUE_BYTES), 16);

const args = struct({
  verifier: fixedOpaque(8),
  owner: opaque(MAX_OPAQUE_BYTES),
  flags: uint32,
  protection: union({
    none: [0, nothing],
    machine: [1, protectedOperations],
    secret: [
      2,
      struct({
        operations: protectedOperations,
        hashes: objectIds,
        ciphers: objectIds,
        window: uint32,
        handles: uint32,
      }),
    ],
  }),
  implementation: array(
    struct({
      domain: opaque(MAX_OPAQUE_BYTES),
      name: opaque(MAX_OPAQUE_BYTES),
      seconds: uint64,
      nanoseconds: uint32,
    }),
    1,
  ),
});

const result = struct({
  clientId: uint64,
  sequence: uint32,
  flags: uint32,
  /** SP4_NONE. */
  protection: uint32,
  ownerMinor: uint64,
  ownerMajor: opaque(MAX_OPAQUE_BYTES),
  scope: opaque(MAX_OPAQUE_BYTES),
  /** Implementation ids, of which none is told. */
  implementations: uint32,
});

const USE_NON_PNFS = 0x1_0000;
const UPDATE_CONFIRMED = 0x4000_0000;
const CONFIRMED = 0x8000_0000;
/** Moved referrals and migration, principals bound to stateids, the roles of pNFS. */
const KNOWN_FLAGS = 0x1 | 0x2 | 0x100 | 0x7_0000 | UPDATE_CONFIRMED;
/** EXCHGID4_FLAG_SUPP_FENCE_OPS, since minor version 2 (RFC 7862, section 14.1). */
const FENCE_OPS = 0x4;

/**
 * EXCHANGE_ID (RFC 8881, section 18.35): who a client is. Errors: `INVAL`, `ENCR_ALG_UNSUPP`, and those of
 * `ClientTable.exchange`.
 */
export const exchangeId = stateOperation({
  name: 'EXCHANGE_ID',
  args,
  result,
  handle: ({ verifier, owner, flags, protection }, compound) => {
    const known = compound.minorVersion === 1 ? KNOWN_FLAGS : KNOWN_FLAGS | FENCE_OPS;
    if ((flags & ~known) !== 0) throw new Nfs4Error(NFS4.INVAL);
    // Both need RPCSEC_GSS, which nobody has here (section 18.35.3).
    if (protection.kind === 'machine') throw new Nfs4Error(NFS4.INVAL);
    if (protection.kind === 'secret') throw new Nfs4Error(NFS4.ENCR_ALG_UNSUPP);
    const { clients, identity } = compound.state;
    const update = (flags & UPDATE_CONFIRMED) !== 0;
    const introduced = { owner, verifier, principal: compound.principal };
    const client = clients.exchange(introduced, compound.call.connection.peer, update);
    return {
      clientId: client.clientId,
      sequence: (client.createSequence + 1) >>> 0,
      flags: client.confirmed ? USE_NON_PNFS | CONFIRMED : USE_NON_PNFS,
      protection: 0,
      ownerMinor: 0n,
      ownerMajor: Buffer.from(identity.owner),
      scope: Buffer.from(identity.scope),
      implementations: 0,
    };
  },
});
