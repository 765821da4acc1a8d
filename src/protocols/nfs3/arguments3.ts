import {
  fixedOpaque,
  int32,
  nothing,
  opaque,
  optional,
  struct,
  uint32,
  uint64,
  union,
} from '../xdr/codec.js';
import { time3 } from './attributes3.js';

/** NFS3_FHSIZE. */
export const MAX_HANDLE_BYTES = 64;

/** What is decoded of a name, which RFC 1813 does not bound; more than PATH_MAX is no request of any client. */
const MAX_STRING_BYTES = 4096;

/** nfs_fh3. */
export const handle3 = opaque(MAX_HANDLE_BYTES);

/** filename3: bytes, for no encoding is agreed on. */
export const name3 = opaque(MAX_STRING_BYTES);

/** nfspath3: what a symbolic link would hold. */
export const path3 = opaque(MAX_STRING_BYTES);

/** diropargs3: an entry of a directory. */
export const entryOf = struct({ directory: handle3, name: name3 });

/** cookieverf3, createverf3 and writeverf3. */
export const verifier3 = fixedOpaque(8);

/** stable_how and other numbers that matter to nobody, since what they belong to is refused. */
export const ignoredNumber = int32;

const setTime = union({ DONT_CHANGE: [0, nothing], SERVER_TIME: [1, nothing], CLIENT_TIME: [2, time3] });

/** sattr3. */
export const settable3 = struct({
  mode: optional(uint32),
  uid: optional(uint32),
  gid: optional(uint32),
  size: optional(uint64),
  accessTime: setTime,
  modifyTime: setTime,
});
