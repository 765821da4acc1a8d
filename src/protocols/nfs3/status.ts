import { isCalyxError } from '../../core/errors.js';
import { isTemporary } from '../nfs/failure.js';

/** Status codes (RFC 1813, section 2.6). */
export const NFS3 = {
  OK: 0,
  PERM: 1,
  NOENT: 2,
  IO: 5,
  NXIO: 6,
  ACCES: 13,
  EXIST: 17,
  XDEV: 18,
  NODEV: 19,
  NOTDIR: 20,
  ISDIR: 21,
  INVAL: 22,
  FBIG: 27,
  NOSPC: 28,
  ROFS: 30,
  MLINK: 31,
  NAMETOOLONG: 63,
  NOTEMPTY: 66,
  DQUOT: 69,
  STALE: 70,
  REMOTE: 71,
  BADHANDLE: 10_001,
  NOT_SYNC: 10_002,
  BAD_COOKIE: 10_003,
  NOTSUPP: 10_004,
  TOOSMALL: 10_005,
  SERVERFAULT: 10_006,
  BADTYPE: 10_007,
  JUKEBOX: 10_008,
} as const;

/** The number of a status. */
export type Nfs3Status = (typeof NFS3)[keyof typeof NFS3];

/** Every status but OK. */
export type Nfs3Failure = Exclude<Nfs3Status, typeof NFS3.OK>;

/** Ends a procedure with a status that is an answer, not a fault of ours. */
export class Nfs3Error extends Error {
  override readonly name = 'Nfs3Error';
  readonly status: Nfs3Failure;

  constructor(status: Nfs3Failure) {
    super(`NFS3ERR ${status}`);
    this.status = status;
  }
}

/** The status for whatever a procedure threw. */
export function failureOf(error: unknown): Nfs3Failure {
  if (error instanceof Nfs3Error) return error.status;
  if (isCalyxError(error, 'not-found')) return NFS3.STALE;
  return isTemporary(error) ? NFS3.JUKEBOX : NFS3.IO;
}
