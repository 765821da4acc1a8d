import {
  array,
  bool,
  fixedOpaque,
  list,
  opaque,
  optional,
  position64,
  struct,
  text,
  uint32,
  uint64,
  type Infer,
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
  return { program: 100_003, version: 3, procedure };
}

const MAX_HANDLE = 64;
const MAX_PATH = 1024;
/** Some servers have longer names than Linux; nothing is allocated by it. */
const MAX_NAME = 4096;
/** Flavours that a server may offer; Linux knows eight. */
const MAX_FLAVORS = 64;
/** Entries in one answer to READDIRPLUS: more do not fit into what we ask for. */
const MAX_ENTRIES = 16_384;

/** The largest READ that we ask for. */
export const MAX_READ = 1_048_576;

const time = struct({ seconds: uint32, nanoseconds: uint32 });

/** fattr3 (section 2.5). */
export const fileAttributes = struct({
  type: uint32,
  mode: uint32,
  links: uint32,
  uid: uint32,
  gid: uint32,
  size: position64,
  used: position64,
  major: uint32,
  minor: uint32,
  fileSystem: uint64,
  fileId: uint64,
  accessed: time,
  modified: time,
  changed: time,
});

const handle = opaque(MAX_HANDLE);
const attributes = optional(fileAttributes);

export const mountArguments = text(MAX_PATH);
export const mountResult = struct({ handle, flavors: array(uint32, MAX_FLAVORS) });
export const handleArguments = handle;
export const lookupArguments = struct({ directory: handle, name: text(MAX_NAME) });
export const lookupResult = struct({ handle, attributes, directory: attributes });
export const readArguments = struct({ file: handle, offset: position64, count: uint32 });
export const readResult = struct({ attributes, count: uint32, end: bool, data: opaque(MAX_READ) });
export const listArguments = struct({
  directory: handle,
  cookie: uint64,
  verifier: fixedOpaque(8),
  directoryBytes: uint32,
  maxBytes: uint32,
});
export const listResult = struct({
  directory: attributes,
  verifier: fixedOpaque(8),
  entries: list(
    struct({ fileId: uint64, name: opaque(MAX_NAME), cookie: uint64, attributes, handle: optional(handle) }),
    MAX_ENTRIES,
  ),
  end: bool,
});

/** A node as fattr3 describes it: type 1 is a regular file, 2 a directory. */
export function nodeOf(handle: Uint8Array, { type, size }: Infer<typeof fileAttributes>): RemoteNode {
  return { handle, kind: type === 2 ? 'directory' : type === 1 ? 'file' : 'other', size };
}
