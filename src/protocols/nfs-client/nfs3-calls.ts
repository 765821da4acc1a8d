import { MAX_READ_BYTES } from '../nfs/limits.js';
import { NFS_PROGRAM } from '../nfs/nfs-program.js';
import { handle3, verifier3 } from '../nfs3/arguments3.js';
import { postOpAttributes, type Attributes3 } from '../nfs3/attributes3.js';
import {
  array,
  bool,
  list,
  opaque,
  optional,
  position64,
  struct,
  text,
  uint32,
  uint64,
} from '../xdr/codec.js';
import type { RemoteProcedure } from './rpc-caller.js';
import type { RemoteNode } from './nfs-reader.js';

/** RFC 1813: section 5.2 (MOUNT) and section 3.3. */
export const MNT: RemoteProcedure = { program: 100_005, version: 3, procedure: 1 };
export const NULL3 = nfs3(0);
export const GETATTR3 = nfs3(1);
export const LOOKUP3 = nfs3(3);
export const READ3 = nfs3(6);
export const READDIRPLUS3 = nfs3(17);

function nfs3(procedure: number): RemoteProcedure {
  return { program: NFS_PROGRAM, version: 3, procedure };
}

const MAX_PATH = 1024;
/** Some servers have longer names than Linux; nothing is allocated by it. */
const MAX_NAME = 4096;
/** Flavours that a server may offer; Linux knows eight. */
const MAX_FLAVORS = 64;
/** Entries in one answer to READDIRPLUS: more do not fit into what we ask for. */
const MAX_ENTRIES = 16_384;

export const mountArguments = text(MAX_PATH);
export const mountResult = struct({ handle: handle3, flavors: array(uint32, MAX_FLAVORS) });
export const lookupArguments = struct({ directory: handle3, name: text(MAX_NAME) });
export const lookupResult = struct({
  handle: handle3,
  attributes: postOpAttributes,
  directory: postOpAttributes,
});
export const readArguments = struct({ file: handle3, offset: position64, count: uint32 });
export const readResult = struct({
  attributes: postOpAttributes,
  count: uint32,
  end: bool,
  data: opaque(MAX_READ_BYTES),
});
export const listArguments = struct({
  directory: handle3,
  cookie: uint64,
  verifier: verifier3,
  directoryBytes: uint32,
  maxBytes: uint32,
});
export const listResult = struct({
  directory: postOpAttributes,
  verifier: verifier3,
  entries: list(
    struct({
      fileId: uint64,
      name: opaque(MAX_NAME),
      cookie: uint64,
      attributes: postOpAttributes,
      handle: optional(handle3),
    }),
    MAX_ENTRIES,
  ),
  end: bool,
});

/** A node as fattr3 describes it. */
export function nodeOf(handle: Uint8Array, { type, size }: Attributes3): RemoteNode {
  return { handle, kind: type === 'DIR' ? 'directory' : type === 'REG' ? 'file' : 'other', size };
}
