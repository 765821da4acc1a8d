import { MAX_READ_BYTES } from '../nfs/limits.js';
import { NFS_PROGRAM } from '../nfs/nfs-program.js';
import { bitmap } from '../nfs4/attributes/bitmap.js';
import { MAX_HANDLE_BYTES } from '../nfs4/limits.js';
import { channelAttributes } from '../nfs4/sessions/channel.js';
import { SESSION_ID_BYTES } from '../nfs4/sessions/session-table.js';
import { stateId } from '../nfs4/state-id.js';
import {
  array,
  bool,
  fixedOpaque,
  list,
  opaque,
  position64,
  struct,
  text,
  uint32,
  uint64,
  union,
  nothing,
  type Codec,
} from '../xdr/codec.js';
import { XdrReader } from '../xdr/xdr-reader.js';
import type { RemoteProcedure } from './rpc-caller.js';

export const NULL4: RemoteProcedure = { program: NFS_PROGRAM, version: 4, procedure: 0 };
export const COMPOUND: RemoteProcedure = { program: NFS_PROGRAM, version: 4, procedure: 1 };

/** An operation as a client calls it. */
export interface RemoteOperation<Args, Result> {
  readonly number: number;
  readonly args: Codec<Args>;
  readonly result: Codec<Result>;
}

const MAX_OPAQUE = 1024;
const MAX_NAME = 4096;
const MAX_ATTRIBUTE_BYTES = 4096;
const MAX_ENTRIES = 16_384;

const handle = opaque(MAX_HANDLE_BYTES);
const sessionId = fixedOpaque(SESSION_ID_BYTES);
const time = struct({ seconds: uint64, nanoseconds: uint32 });
const implementation = array(struct({ domain: text(MAX_OPAQUE), name: text(MAX_OPAQUE), date: time }), 1);

/** The attributes of one node: bitmap and values (section 3.3.7). */
const attributes = struct({ mask: bitmap, values: opaque(MAX_ATTRIBUTE_BYTES) });

/** Section 18.35; no state protection. */
export const EXCHANGE_ID = operation(
  42,
  struct({
    verifier: fixedOpaque(8),
    owner: opaque(MAX_OPAQUE),
    flags: uint32,
    protection: uint32,
    implementation,
  }),
  struct({
    clientId: uint64,
    sequence: uint32,
    flags: uint32,
    protection: union({ none: [0, nothing] }),
    serverMinor: uint64,
    serverMajor: opaque(MAX_OPAQUE),
    scope: opaque(MAX_OPAQUE),
    implementation,
  }),
);

/** Section 18.36; the back channel takes AUTH_NONE (0). */
export const CREATE_SESSION = operation(
  43,
  struct({
    clientId: uint64,
    sequence: uint32,
    flags: uint32,
    fore: channelAttributes,
    back: channelAttributes,
    callbackProgram: uint32,
    security: array(uint32, 1),
  }),
  struct({
    session: sessionId,
    sequence: uint32,
    flags: uint32,
    fore: channelAttributes,
    back: channelAttributes,
  }),
);

/** Section 18.46. */
export const SEQUENCE = operation(
  53,
  struct({ session: sessionId, sequence: uint32, slot: uint32, highestSlot: uint32, cache: bool }),
  struct({
    session: sessionId,
    sequence: uint32,
    slot: uint32,
    highestSlot: uint32,
    targetHighestSlot: uint32,
    flags: uint32,
  }),
);

export const RECLAIM_COMPLETE = operation(58, struct({ oneFileSystem: bool }), nothing);
export const DESTROY_SESSION = operation(44, struct({ session: sessionId }), nothing);
export const DESTROY_CLIENTID = operation(57, struct({ clientId: uint64 }), nothing);
export const PUTROOTFH = operation(24, nothing, nothing);
export const PUTFH = operation(22, struct({ handle }), nothing);
export const LOOKUP = operation(15, struct({ name: text(MAX_NAME) }), nothing);
export const GETFH = operation(10, nothing, struct({ handle }));
export const GETATTR = operation(9, struct({ mask: bitmap }), attributes);
export const READ = operation(
  25,
  struct({ stateId, offset: position64, count: uint32 }),
  struct({ end: bool, data: opaque(MAX_READ_BYTES) }),
);
export const READDIR = operation(
  26,
  struct({
    cookie: uint64,
    verifier: fixedOpaque(8),
    directoryBytes: uint32,
    maxBytes: uint32,
    mask: bitmap,
  }),
  struct({
    verifier: fixedOpaque(8),
    entries: list(struct({ cookie: uint64, name: opaque(MAX_NAME), attributes }), MAX_ENTRIES),
    end: bool,
  }),
);

function operation<Args, Result>(
  number: number,
  args: Codec<Args>,
  result: Codec<Result>,
): RemoteOperation<Args, Result> {
  return { number, args, result };
}

/** Type, size, RDATTR_ERROR and file handle (sections 5.8.1.2, 5.8.1.5, 5.8.1.12 and 5.8.1.14): bits 1, 4, 11 and 19. */
export const NODE_MASK = [(1 << 1) | (1 << 4) | (1 << 11) | (1 << 19)];

/** The attributes of `NODE_MASK` as a server gave them. */
export interface NodeValues {
  readonly type: number | undefined;
  readonly size: number | undefined;
  readonly handle: Uint8Array | undefined;
}

/** Reads what stands in the values, in the order of the bits; throws XdrError for attributes that were not asked for. */
export function decodeNodeValues(mask: readonly number[], values: Uint8Array): NodeValues {
  const reader = new XdrReader(values);
  const has = (bit: number): boolean => ((mask[0] ?? 0) & (1 << bit)) !== 0;
  const type = has(1) ? reader.uint32() : undefined;
  const size = has(4) ? reader.position64() : undefined;
  if (has(11)) reader.uint32();
  const handle = has(19) ? reader.opaque(MAX_HANDLE_BYTES) : undefined;
  reader.end();
  return { type, size, handle };
}
