import { ERROR_STATUS } from '../core/error-status.js';
import { CalyxError, errorMessage, type ErrorCode } from '../core/errors.js';

/** An error as it travels between threads and nodes: as JSON `{error: {code, message, hint}}` over HTTP. */
export interface ErrorBody {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
}

/** A stranger's message is cut to this before anybody sees it. */
const MAX_MESSAGE_CHARS = 2000;

/** The HTTP status for a code. */
export function statusOf(code: ErrorCode): number {
  return ERROR_STATUS[code];
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
  const known =
    typeof code === 'string' && Object.hasOwn(ERROR_STATUS, code) ? (code as ErrorCode) : 'internal';
  const text =
    typeof message === 'string' ? message.slice(0, MAX_MESSAGE_CHARS) : 'an error without a message';
  return new CalyxError(known, where === undefined ? text : `${where}: ${text}`, {
    ...(typeof hint === 'string' ? { hint: hint.slice(0, MAX_MESSAGE_CHARS) } : {}),
  });
}
