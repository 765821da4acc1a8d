/**
 * What can go wrong, as a closed set. Each protocol has one function that maps these codes to its own.
 *
 * - `usage`: the request itself is malformed (exit code 2 on the command line)
 * - `not-found`: the only code that a caller may pass over silently
 * - `invalid-model`: the files of a model contradict their format
 * - `corrupt`: bytes that do not match their digest
 * - `unauthenticated`: it is not known who asks; `refused`: whoever asks may not have it
 * - `limited`: too much was asked in too short a time
 * - `unavailable`: a peer or a source cannot answer now; another one might
 */
export type ErrorCode =
  | 'usage'
  | 'not-found'
  | 'exists'
  | 'invalid-model'
  | 'unsupported'
  | 'corrupt'
  | 'changed'
  | 'unreadable'
  | 'over-budget'
  | 'disk-full'
  | 'busy'
  | 'unauthenticated'
  | 'refused'
  | 'limited'
  | 'unavailable'
  | 'timeout'
  | 'aborted'
  | 'internal';

/** Options of {@link CalyxError}. */
export interface CalyxErrorOptions {
  /** What the reader can do about it, as one sentence. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** After how many seconds it may be asked again, for `limited` and `busy`: what HTTP sends as Retry-After. */
  readonly retryAfterSeconds?: number;
}

/** The one error class of Calyx: a code for programs, a message that names the thing, a hint with the way out. */
export class CalyxError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, message: string, options: CalyxErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'CalyxError';
    this.code = code;
    this.hint = options.hint;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/** True if `error` is a {@link CalyxError} with one of `codes` (any code if none is given). */
export function isCalyxError(error: unknown, ...codes: ErrorCode[]): error is CalyxError {
  return error instanceof CalyxError && (codes.length === 0 || codes.includes(error.code));
}

/** The message of anything that was thrown. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of a system error (`ENOENT`, `ENOSPC`, ...), or undefined. */
export function systemCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** Turns a failed file operation into a {@link CalyxError} that names the file, the reason and the way out. */
export function fileError(error: unknown, doing: string, path: string): CalyxError {
  if (isCalyxError(error)) return error;
  const known = FILE_ERRORS[systemCode(error) ?? ''];
  if (known === undefined) {
    return new CalyxError('unreadable', `${doing} ${path}: ${errorMessage(error)}`, { cause: error });
  }
  const [code, reason, hint] = known;
  return new CalyxError(code, `${doing} ${path}: ${reason}`, { hint, cause: error });
}

const FILE_ERRORS: Readonly<Record<string, readonly [ErrorCode, string, string]>> = {
  ENOENT: ['not-found', 'no such file or directory', 'check the path'],
  ENOTDIR: ['not-found', 'a part of the path is not a directory', 'check the path'],
  EISDIR: ['unreadable', 'it is a directory, a file was expected', 'check the path'],
  EACCES: ['unreadable', 'permission denied', 'make it accessible to this user, or run as its owner'],
  EPERM: ['unreadable', 'operation not permitted', 'make it accessible to this user, or run as its owner'],
  EROFS: ['unreadable', 'the file system is read-only', 'choose a directory on a writable file system'],
  EIO: ['unreadable', 'the disk reported an I/O error', 'check the disk (dmesg, smartctl)'],
  ESTALE: [
    'changed',
    'the server of the mount has removed it',
    'look at what the mount shows now, and choose what is still published',
  ],
  EMFILE: ['unavailable', 'too many open files', 'raise the limit (ulimit -n)'],
  ENOSPC: [
    'disk-full',
    'no space left on the device',
    'free some space or choose another directory, then run it again',
  ],
  EDQUOT: ['disk-full', 'the disk quota is used up', 'free some space or raise the quota, then run it again'],
  EFBIG: ['disk-full', 'the file system does not allow a file that large', 'choose another file system'],
};
