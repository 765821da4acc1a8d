import type { NfsExports } from '../nfs/exports.js';
import { nfsProgram } from '../nfs/nfs-program.js';
import type { RpcProgram, RpcVersion } from '../rpc/rpc-program.js';
import type { Nfs3Procedure } from './node-procedure.js';
import { access } from './procedures/access.js';
import { commit } from './procedures/commit.js';
import { create } from './procedures/create.js';
import { fsinfo } from './procedures/fsinfo.js';
import { fsstat } from './procedures/fsstat.js';
import { getattr } from './procedures/getattr.js';
import { link } from './procedures/link.js';
import { lookup } from './procedures/lookup.js';
import { mkdir } from './procedures/mkdir.js';
import { mknod } from './procedures/mknod.js';
import { nullProcedure } from './procedures/null.js';
import { pathconf } from './procedures/pathconf.js';
import { read } from './procedures/read.js';
import { readdir } from './procedures/readdir.js';
import { readdirplus } from './procedures/readdirplus.js';
import { readlink } from './procedures/readlink.js';
import { remove } from './procedures/remove.js';
import { rename } from './procedures/rename.js';
import { rmdir } from './procedures/rmdir.js';
import { setattr } from './procedures/setattr.js';
import { symlink } from './procedures/symlink.js';
import { write } from './procedures/write.js';

/** RFC 1813, section 3.3. */
const PROCEDURES: ReadonlyMap<number, Nfs3Procedure> = new Map([
  [0, nullProcedure],
  [1, getattr],
  [2, setattr],
  [3, lookup],
  [4, access],
  [5, readlink],
  [6, read],
  [7, write],
  [8, create],
  [9, mkdir],
  [10, symlink],
  [11, mknod],
  [12, remove],
  [13, rmdir],
  [14, rename],
  [15, link],
  [16, readdir],
  [17, readdirplus],
  [18, fsstat],
  [19, fsinfo],
  [20, pathconf],
  [21, commit],
]);

/** Version 3 of NFS, to stand beside others of the same program. */
export function nfs3Version(exports: NfsExports): RpcVersion {
  const server = { exports };
  return new Map([...PROCEDURES].map(([number, make]) => [number, make(server)]));
}

/** NFS version 3 (RFC 1813): reads what `exports` has; every mutation answers NFS3ERR_ROFS. */
export function nfs3Program(exports: NfsExports): RpcProgram {
  return nfsProgram({ 3: nfs3Version(exports) });
}
