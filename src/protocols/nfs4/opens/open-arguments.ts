import { fixedOpaque, nothing, opaque, struct, uint32, uint64, union, type Infer } from '../../xdr/codec.js';
import { bitmap, includes } from '../attributes/bitmap.js';
import { component } from '../operations/component.js';
import { stateId } from '../state-id.js';

const MAX_OWNER_BYTES = 1024;
const MAX_ATTRIBUTE_BYTES = 64 * 1024;
const VERIFIER_BYTES = 8;
/** FATTR4_SIZE. */
const SIZE = 4;

/**
 * A client id that minor versions above 0 do not look at, and bytes that tell owners of a client apart
 * (open_owner4, lock_owner4).
 */
export const stateOwner = struct({ clientId: uint64, owner: opaque(MAX_OWNER_BYTES) });

/** Attributes that nobody will set (fattr4). */
export const newAttributes = struct({ set: bitmap, values: opaque(MAX_ATTRIBUTE_BYTES) });

const howToCreate = union({
  unchecked: [0, newAttributes],
  guarded: [1, newAttributes],
  exclusive: [2, fixedOpaque(VERIFIER_BYTES)],
  exclusiveWithAttributes: [3, struct({ verifier: fixedOpaque(VERIFIER_BYTES), attributes: newAttributes })],
});

const claim = union({
  name: [0, component],
  previous: [1, uint32],
  delegation: [2, struct({ delegation: stateId, name: component })],
  previousDelegation: [3, component],
  file: [4, nothing],
  delegationOfFile: [5, stateId],
  previousDelegationOfFile: [6, nothing],
});

/** OPEN4args (RFC 8881, section 18.16.1). */
export const openArguments = struct({
  sequence: uint32,
  access: uint32,
  deny: uint32,
  owner: stateOwner,
  how: union({ open: [0, nothing], create: [1, howToCreate] }),
  claim,
});

export type OpenArguments = Infer<typeof openArguments>;

/** OPEN4resok (section 18.16.2), with a delegation that is none. */
export const openResult = struct({
  stateId,
  /** Of the directory: whether before and after are from one moment, and its change attribute then. */
  changeIsAtomic: uint32,
  changeBefore: uint64,
  changeAfter: uint64,
  flags: uint32,
  attributesSet: bitmap,
  delegation: union({
    none: [0, nothing],
    /** With a reason that has nothing to add. */
    noneBecause: [3, uint32],
  }),
});

/** Whether making a file anew would cut one off that is there. */
export function truncates(how: OpenArguments['how']): boolean {
  return how.kind === 'create' && how.value.kind === 'unchecked' && includes(how.value.value.set, SIZE);
}
