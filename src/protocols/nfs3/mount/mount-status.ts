import { isCalyxError } from '../../../core/errors.js';
import { NFS3, Nfs3Error } from '../status.js';

/** mountstat3 (RFC 1813, section 5.1.5). */
export const MOUNT3 = {
  OK: 0,
  PERM: 1,
  NOENT: 2,
  IO: 5,
  ACCES: 13,
  NOTDIR: 20,
  INVAL: 22,
  NAMETOOLONG: 63,
  NOTSUPP: 10_004,
  SERVERFAULT: 10_006,
} as const;

/** The name of a status other than OK. */
export type MountFailure = Exclude<keyof typeof MOUNT3, 'OK'>;

const ANSWERS: ReadonlyMap<number, MountFailure> = new Map([
  [NFS3.NOENT, 'NOENT'],
  [NFS3.ACCES, 'ACCES'],
  [NFS3.NOTDIR, 'NOTDIR'],
  [NFS3.NAMETOOLONG, 'NAMETOOLONG'],
]);

/** The status for whatever MNT threw. None makes a client try again by itself. */
export function mountFailureOf(error: unknown): MountFailure {
  if (error instanceof Nfs3Error) return ANSWERS.get(error.status) ?? 'SERVERFAULT';
  if (isCalyxError(error, 'not-found')) return 'NOENT';
  return isCalyxError(error, 'corrupt', 'unreadable') ? 'IO' : 'SERVERFAULT';
}
