import { z } from 'zod';
import { ERROR_STATUS } from '../../core/error-status.js';
import { CalyxError, errorMessage, isCalyxError, type ErrorCode } from '../../core/errors.js';

/** How an error goes over the wire. */
export interface WireError {
  readonly error: { readonly code: ErrorCode; readonly message: string; readonly hint?: string | undefined };
}

/** The status and body for anything that was thrown. What is not a {@link CalyxError} shows no details. */
export function toWireError(error: unknown): { status: number; body: WireError } {
  if (isCalyxError(error)) {
    const { code, message, hint } = error;
    return { status: ERROR_STATUS[code], body: { error: { code, message, hint } } };
  }
  const status = statusOf(error);
  // fastify's own refusals (malformed JSON, too long a body, ...) say what is wrong with the request.
  if (status !== undefined)
    return { status, body: { error: { code: 'usage', message: errorMessage(error).slice(0, 500) } } };
  return {
    status: 500,
    body: { error: { code: 'internal', message: 'internal error; the log of the server tells more' } },
  };
}

const wireSchema = z.object({
  error: z.object({
    code: z.string().refine((code) => Object.hasOwn(ERROR_STATUS, code)),
    message: z.string().max(10_000),
    hint: z.string().max(10_000).optional(),
  }),
});

/**
 * The error that a peer answered with.
 *
 * @param peer names it in the message if it gave no reason of its own
 */
export function fromWireError(status: number, body: unknown, peer: string): CalyxError {
  const known = wireSchema.safeParse(body);
  if (!known.success)
    return new CalyxError(CODES[status] ?? 'unavailable', `${peer} answered with status ${status}`);
  const { code, message, hint } = known.data.error;
  return new CalyxError(code as ErrorCode, message, hint === undefined ? {} : { hint });
}

/** What a status says without a body of ours, as from a proxy. */
const CODES: Readonly<Record<number, ErrorCode>> = {
  401: 'unauthenticated',
  403: 'refused',
  404: 'not-found',
  429: 'limited',
};

function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('statusCode' in error)) return undefined;
  const { statusCode } = error;
  return typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500 ? statusCode : undefined;
}
