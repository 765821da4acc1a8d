import type { NfsExports } from '../../nfs/exports.js';
import { procedure, type RpcCall } from '../../rpc/rpc-program.js';
import { array, int32, nothing, struct, union, type Infer } from '../../xdr/codec.js';
import { handle3 } from '../arguments3.js';
import { visibleTree } from '../node-procedure.js';
import { reportFailure } from '../report.js';
import type { MountProcedure } from './mount-procedure.js';
import { MOUNT3, mountFailureOf } from './mount-status.js';
import { directoryAt, path } from './path.js';

/** Flavors of RFC 5531, section 8.2, the one to prefer first. */
const AUTH_SYS = 1;
const AUTH_NONE = 0;
const FLAVORS = [AUTH_SYS, AUTH_NONE];

/** mountres3 (RFC 1813, section 5.2.1). */
const result = union({
  OK: [MOUNT3.OK, struct({ handle: handle3, flavors: array(int32, 16) })],
  PERM: [MOUNT3.PERM, nothing],
  NOENT: [MOUNT3.NOENT, nothing],
  IO: [MOUNT3.IO, nothing],
  ACCES: [MOUNT3.ACCES, nothing],
  NOTDIR: [MOUNT3.NOTDIR, nothing],
  INVAL: [MOUNT3.INVAL, nothing],
  NAMETOOLONG: [MOUNT3.NAMETOOLONG, nothing],
  NOTSUPP: [MOUNT3.NOTSUPP, nothing],
  SERVERFAULT: [MOUNT3.SERVERFAULT, nothing],
});

/** MNT: the handle of a directory (RFC 1813, section 5.2.1). */
export const mnt: MountProcedure = (exports) =>
  procedure({
    name: 'MNT',
    args: struct({ path }),
    result,
    handle: (args, call) => mount(args.path, call, exports),
  });

async function mount(wanted: Uint8Array, call: RpcCall, exports: NfsExports): Promise<Infer<typeof result>> {
  try {
    const { handle } = await directoryAt(visibleTree(exports, call), wanted);
    return { kind: 'OK', value: { handle, flavors: FLAVORS } };
  } catch (error) {
    reportFailure(exports, call, `MNT ${Buffer.from(wanted).toString()}`, error);
    return { kind: mountFailureOf(error), value: undefined };
  }
}
