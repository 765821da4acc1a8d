import { CalyxError, errorMessage, isCalyxError, type ErrorCode } from '../core/errors.js';

/** An error as it goes from the thread of a stage to the one that started it: with all there is to know, for the log. */
export interface ThreadError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string | undefined;
  /** Of what was not expected. */
  readonly stack?: string | undefined;
}

/** Anything thrown, as plain data; what is not a CalyxError becomes `internal`. */
export function toThreadError(error: unknown): ThreadError {
  if (isCalyxError(error)) return { code: error.code, message: error.message, hint: error.hint };
  return {
    code: 'internal',
    message: errorMessage(error),
    stack: error instanceof Error ? error.stack : undefined,
  };
}

/** The error behind it. */
export function fromThreadError({ code, message, hint, stack }: ThreadError): CalyxError {
  const cause = stack === undefined ? undefined : Object.assign(new Error(message), { stack });
  return new CalyxError(code, message, { ...(hint === undefined ? {} : { hint }), cause });
}
