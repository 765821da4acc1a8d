import { fixedOpaque, struct, uint32, type Infer } from '../xdr/codec.js';

/** Bytes of a stateid that only the server reads. */
const OTHER_BYTES = 12;

/**
 * Names a state of an open file (RFC 8881, section 8.2): a sequence number and 12 bytes that only the server
 * reads.
 */
export const stateId = struct({ sequence: uint32, other: fixedOpaque(OTHER_BYTES) });

export type StateId = Infer<typeof stateId>;

const ALL_ONES = 0xffff_ffff;

/** For reading without having opened (section 8.2.3). */
export const ANONYMOUS_STATE_ID: StateId = { sequence: 0, other: new Uint8Array(OTHER_BYTES) };

/** What CLOSE gives: a stateid that is good for nothing (section 8.2.3). */
export const INVALID_STATE_ID: StateId = { sequence: ALL_ONES, other: new Uint8Array(OTHER_BYTES) };

/** Whether it stands for the current stateid of the compound (section 16.2.3.1.2). */
export function isCurrentStateId(id: StateId): boolean {
  return id.sequence === 1 && isFilledWith(id.other, 0);
}

/** Whether it is the anonymous or the bypass stateid, which allow reading without an open (section 8.2.3). */
export function isReadWithoutOpen(id: StateId): boolean {
  return (
    (id.sequence === 0 && isFilledWith(id.other, 0)) ||
    (id.sequence === ALL_ONES && isFilledWith(id.other, 0xff))
  );
}

/** Whether no state can ever have it: all zeros and all ones are special, whatever the sequence. */
export function isSpecialStateId(id: StateId): boolean {
  return isFilledWith(id.other, 0) || isFilledWith(id.other, 0xff);
}

/** The three numbers of `other`: the server's boot value, the client's and the state's. */
export interface StateIdParts {
  readonly boot: number;
  readonly client: number;
  readonly state: number;
}

/** Makes a stateid of its parts. */
export function makeStateId(sequence: number, parts: StateIdParts): StateId {
  const other = Buffer.alloc(OTHER_BYTES);
  other.writeUInt32BE(parts.boot, 0);
  other.writeUInt32BE(parts.client, 4);
  other.writeUInt32BE(parts.state, 8);
  return { sequence, other };
}

/** Takes a stateid apart. */
export function stateIdParts(id: StateId): StateIdParts {
  const other = Buffer.from(id.other.buffer, id.other.byteOffset, OTHER_BYTES);
  return { boot: other.readUInt32BE(0), client: other.readUInt32BE(4), state: other.readUInt32BE(8) };
}

function isFilledWith(bytes: Uint8Array, value: number): boolean {
  return bytes.every((byte) => byte === value);
}
