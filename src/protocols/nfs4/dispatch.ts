import { fileOperations } from './file-operations.js';
import { mutations } from './mutations.js';
import type { Operation } from './operation.js';
import { notSupported } from './operations/not-supported.js';
import type { SessionCompound } from './session-compound.js';
import { sessionOperations } from './session-operations.js';
import { NFS4, Nfs4Error } from './status.js';

/** Numbers that the engine itself asks about. */
export const OP = {
  BIND_CONN_TO_SESSION: 41,
  EXCHANGE_ID: 42,
  CREATE_SESSION: 43,
  DESTROY_SESSION: 44,
  SEQUENCE: 53,
  DESTROY_CLIENTID: 57,
  ILLEGAL: 10_044,
} as const;

const FIRST = 3;
/** RECLAIM_COMPLETE. */
const LAST_OF_MINOR_1 = 58;

/**
 * Every operation of NFSv4 by number, with where it is done (RFC 8881, section 17; RFC 7862, section 15; RFC
 * 8276, section 8.4): `file` in file-operations.ts, `session` in session-operations.ts, `mutation` in
 * mutations.ts, and what is known but not supported.
 */
const TABLE: readonly (readonly [number, string, 'file' | 'session' | 'mutation' | 'unsupported'])[] = [
  [3, 'ACCESS', 'file'],
  [4, 'CLOSE', 'session'],
  [5, 'COMMIT', 'mutation'],
  [6, 'CREATE', 'mutation'],
  [7, 'DELEGPURGE', 'unsupported'],
  [8, 'DELEGRETURN', 'session'],
  [9, 'GETATTR', 'file'],
  [10, 'GETFH', 'file'],
  [11, 'LINK', 'mutation'],
  [12, 'LOCK', 'session'],
  [13, 'LOCKT', 'session'],
  [14, 'LOCKU', 'session'],
  [15, 'LOOKUP', 'file'],
  [16, 'LOOKUPP', 'file'],
  [17, 'NVERIFY', 'file'],
  [18, 'OPEN', 'session'],
  // Named attributes.
  [19, 'OPENATTR', 'unsupported'],
  // Of minor version 0 alone, as are RENEW, SETCLIENTID, SETCLIENTID_CONFIRM and RELEASE_LOCKOWNER.
  [20, 'OPEN_CONFIRM', 'unsupported'],
  [21, 'OPEN_DOWNGRADE', 'session'],
  [22, 'PUTFH', 'file'],
  [23, 'PUTPUBFH', 'file'],
  [24, 'PUTROOTFH', 'file'],
  [25, 'READ', 'file'],
  [26, 'READDIR', 'file'],
  [27, 'READLINK', 'file'],
  [28, 'REMOVE', 'mutation'],
  [29, 'RENAME', 'mutation'],
  [30, 'RENEW', 'unsupported'],
  [31, 'RESTOREFH', 'file'],
  [32, 'SAVEFH', 'file'],
  [33, 'SECINFO', 'file'],
  [34, 'SETATTR', 'mutation'],
  [35, 'SETCLIENTID', 'unsupported'],
  [36, 'SETCLIENTID_CONFIRM', 'unsupported'],
  [37, 'VERIFY', 'file'],
  [38, 'WRITE', 'mutation'],
  [39, 'RELEASE_LOCKOWNER', 'unsupported'],
  [40, 'BACKCHANNEL_CTL', 'session'],
  [41, 'BIND_CONN_TO_SESSION', 'session'],
  [42, 'EXCHANGE_ID', 'session'],
  [43, 'CREATE_SESSION', 'session'],
  [44, 'DESTROY_SESSION', 'session'],
  [45, 'FREE_STATEID', 'session'],
  [46, 'GET_DIR_DELEGATION', 'unsupported'],
  // pNFS.
  [47, 'GETDEVICEINFO', 'unsupported'],
  [48, 'GETDEVICELIST', 'unsupported'],
  [49, 'LAYOUTCOMMIT', 'unsupported'],
  [50, 'LAYOUTGET', 'unsupported'],
  [51, 'LAYOUTRETURN', 'unsupported'],
  [52, 'SECINFO_NO_NAME', 'file'],
  [53, 'SEQUENCE', 'session'],
  // For SP4_SSV, which EXCHANGE_ID refuses.
  [54, 'SET_SSV', 'unsupported'],
  [55, 'TEST_STATEID', 'session'],
  [56, 'WANT_DELEGATION', 'unsupported'],
  [57, 'DESTROY_CLIENTID', 'session'],
  [58, 'RECLAIM_COMPLETE', 'session'],
  // Minor version 2.
  [59, 'ALLOCATE', 'mutation'],
  [60, 'COPY', 'mutation'],
  [61, 'COPY_NOTIFY', 'unsupported'],
  [62, 'DEALLOCATE', 'mutation'],
  [63, 'IO_ADVISE', 'file'],
  [64, 'LAYOUTERROR', 'unsupported'],
  [65, 'LAYOUTSTATS', 'unsupported'],
  [66, 'OFFLOAD_CANCEL', 'unsupported'],
  [67, 'OFFLOAD_STATUS', 'unsupported'],
  [68, 'READ_PLUS', 'file'],
  [69, 'SEEK', 'file'],
  [70, 'WRITE_SAME', 'mutation'],
  [71, 'CLONE', 'mutation'],
  [72, 'GETXATTR', 'file'],
  [73, 'SETXATTR', 'file'],
  [74, 'LISTXATTRS', 'file'],
  [75, 'REMOVEXATTR', 'file'],
];

const OPERATIONS = new Map(TABLE.map(([number, name, where]) => [number, operationOf(number, name, where)]));

function operationOf(number: number, name: string, where: string): Operation<SessionCompound> {
  if (where === 'unsupported') return notSupported(name);
  const tables: Record<string, ReadonlyMap<number, Operation<SessionCompound>>> = {
    file: fileOperations,
    session: sessionOperations,
    mutation: mutations,
  };
  const operation = tables[where]?.get(number);
  if (operation?.name !== name) throw new Error(`${number} is ${operation?.name ?? 'nothing'}, not ${name}`);
  return operation;
}

/**
 * The operation of a number; undefined if the minor version has none (RFC 8178, section 8.2.1: OP_ILLEGAL).
 */
export function operationFor(number: number, minorVersion: 1 | 2): Operation<SessionCompound> | undefined {
  if (number < FIRST || (minorVersion === 1 && number > LAST_OF_MINOR_1)) return undefined;
  return OPERATIONS.get(number);
}

/** May stand first, if nothing follows (section 2.10.2.2). */
const ALONE: ReadonlySet<number> = new Set([
  OP.BIND_CONN_TO_SESSION,
  OP.EXCHANGE_ID,
  OP.CREATE_SESSION,
  OP.DESTROY_SESSION,
  OP.DESTROY_CLIENTID,
]);

/**
 * Whether an operation may stand where it does (RFC 8881, sections 2.10.2.2, 18.34.3 and 18.46.3).
 *
 * @throws Nfs4Error `OP_NOT_IN_SESSION`, `NOT_ONLY_OP`, `SEQUENCE_POS`
 */
export function checkPosition(number: number, position: number, operations: number): void {
  if (position > 0) {
    if (number === OP.SEQUENCE) throw new Nfs4Error(NFS4.SEQUENCE_POS);
    if (number === OP.BIND_CONN_TO_SESSION) throw new Nfs4Error(NFS4.NOT_ONLY_OP);
  } else if (number !== OP.SEQUENCE) {
    if (!ALONE.has(number)) throw new Nfs4Error(NFS4.OP_NOT_IN_SESSION);
    if (operations > 1) throw new Nfs4Error(NFS4.NOT_ONLY_OP);
  }
}
