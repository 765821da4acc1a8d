import { CalyxError, errorMessage, type ErrorCode } from '../core/errors.js';

/** An error as it travels between threads and nodes: as JSON `{error: {code, message, hint}}` over HTTP. */
export interface ErrorBody {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
}

/** The compiler demands every code here, so a new one cannot be forgotten. The numbers are HTTP statuses (RFC 9110). */
const STATUS: Readonly<Record<ErrorCode, number>> = {
  usage: 400,
  'not-found': 404,
  exists: 409,
  'invalid-model': 422,
  unsupported: 422,
  corrupt: 502,
  changed: 409,
  unreadable: 500,
  'over-budget': 507,
  'disk-full': 507,
  busy: 503,
  refused: 403,
  unavailable: 503,
  timeout: 504,
  aborted: 499,
  internal: 500,
};

/** A stranger's message is cut to this before anybody sees it. */
const MAX_MESSAGE_CHARS = 2000;

/** The HTTP status for a code. */
export function statusOf(code: ErrorCode): number {
  return STATUS[code];
}

/** Anything thrown, as plain data; what is not a CalyxError becomes `internal`. */
export function toErrorBody(error: unknown): ErrorBody {
  if (!(error instanceof CalyxError)) return { code: 'internal', message: errorMessage(error) };
  return {
    code: error.code,
    message: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  };
}

/** The error behind a body; `where` (a node's URL) is put before its message. Wrong bodies become `internal`. */
export function fromErrorBody(body: unknown, where?: string): CalyxError {
  const { code, message, hint } = (typeof body === 'object' && body !== null ? body : {}) as Record<
    string,
    unknown
  >;
  const known = typeof code === 'string' && Object.hasOwn(STATUS, code) ? (code as ErrorCode) : 'internal';
  const text =
    typeof message === 'string' ? message.slice(0, MAX_MESSAGE_CHARS) : 'an error without a message';
  return new CalyxError(known, where === undefined ? text : `${where}: ${text}`, {
    ...(typeof hint === 'string' ? { hint: hint.slice(0, MAX_MESSAGE_CHARS) } : {}),
  });
}
