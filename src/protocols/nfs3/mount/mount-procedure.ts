import type { NfsExports } from '../../nfs/exports.js';
import type { RpcProcedure } from '../../rpc/rpc-program.js';

/** A procedure of MOUNT that waits for what is to be mounted. */
export type MountProcedure = (exports: NfsExports) => RpcProcedure;
