import type { NfsExports } from '../../nfs/exports.js';
import type { RpcProgram } from '../../rpc/rpc-program.js';
import { dump } from './dump.js';
import { exportProcedure } from './export.js';
import { mnt } from './mnt.js';
import type { MountProcedure } from './mount-procedure.js';
import { mountNull } from './null.js';
import { umnt } from './umnt.js';
import { umntall } from './umntall.js';

/** RFC 1813, section 5.2. */
const PROCEDURES: ReadonlyMap<number, MountProcedure> = new Map([
  [0, mountNull],
  [1, mnt],
  [2, dump],
  [3, umnt],
  [4, umntall],
  [5, exportProcedure],
]);

/**
 * MOUNT version 3 (RFC 1813, appendix I): how clients of NFS version 3 find their first handle. Linux asks for it without TLS, also where
 * NFS itself goes through it (seen with 6.12).
 */
export function mountProgram(exports: NfsExports): RpcProgram {
  const procedures = new Map([...PROCEDURES].map(([number, make]) => [number, make(exports)]));
  return { name: 'MOUNT', program: 100_005, versions: new Map([[3, procedures]]), withoutTls: true };
}
