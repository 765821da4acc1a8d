import { randomBytes } from 'node:crypto';
import { ERROR_STATUS } from './error-status.js';
import { CalyxError, errorMessage, isCalyxError, type ErrorCode } from './errors.js';

/** How an error goes over the wire, from stores and nodes alike. */
export interface WireError {
  readonly error: {
    readonly code: ErrorCode;
    readonly message: string;
    readonly hint?: string | undefined;
  };
}

/** An answer in place of the one that failed. */
export interface WireAnswer {
  readonly status: number;
  readonly body: WireError;
  /** Stands in the body in place of what is not for the asker: the log must name the error with it. */
  readonly reference: string | undefined;
}

/** Options of {@link toWireError}. */
export interface WireErrorOptions {
  /** Who asks manages the store, and is told of its disk what there is to tell. @default false */
  readonly forAdmin?: boolean;
}

/** What is wrong with the server rather than with the request; its own words name files and what is in them. */
const OF_THE_SERVER: Readonly<Partial<Record<ErrorCode, string>>> = {
  internal: 'internal error',
  unreadable: 'the server cannot read what this needs',
  corrupt: 'what this needs is damaged on the server',
  'disk-full': 'the disk of the server is full',
};

/** Enough that no two are the same in one log, and short enough to be read out. */
const REFERENCE_BYTES = 4;
const MAX_REFUSAL_CHARS = 500;
/** A peer's words are cut to this before anybody sees them. */
const MAX_PEER_CHARS = 2000;

/**
 * The answer for anything that was thrown. What was not expected, or is about the server's own files, becomes a few words and a
 * reference; everything else is told as it is.
 */
export function toWireError(error: unknown, { forAdmin = false }: WireErrorOptions = {}): WireAnswer {
  if (isCalyxError(error) && error.code !== 'internal' && (forAdmin || !isOfTheServer(error))) {
    const { code, message, hint } = error;
    return { status: ERROR_STATUS[code], body: { error: { code, message, hint } }, reference: undefined };
  }
  const status = refusalOf(error);
  // fastify's own refusals (malformed JSON, too long a body, ...) say what is wrong with the request.
  if (status !== undefined) {
    const message = errorMessage(error).slice(0, MAX_REFUSAL_CHARS);
    return { status, body: { error: { code: 'usage', message } }, reference: undefined };
  }
  const code = isCalyxError(error) ? error.code : 'internal';
  const reference = randomBytes(REFERENCE_BYTES).toString('hex');
  const message = `${OF_THE_SERVER[code] ?? 'the server could not do this'} (reference ${reference})`;
  const hint = 'the log of the server tells more under this reference';
  return { status: ERROR_STATUS[code], body: { error: { code, message, hint } }, reference };
}

/**
 * The error that a peer answered with.
 *
 * @param peer names it in the message if it gave no reason of its own
 * @param options.always names it in any case, for those who ask many peers
 */
export function fromWireError(
  status: number,
  body: unknown,
  peer: string,
  { always = false }: { readonly always?: boolean } = {},
): CalyxError {
  const { code, message, hint } = record(record(body)['error']);
  if (typeof code !== 'string' || !Object.hasOwn(ERROR_STATUS, code) || typeof message !== 'string')
    return new CalyxError(CODES[status] ?? 'unavailable', `${peer} answered with status ${status}`);
  const text = message.slice(0, MAX_PEER_CHARS);
  return new CalyxError(
    code as ErrorCode,
    always ? `${peer}: ${text}` : text,
    typeof hint === 'string' ? { hint: hint.slice(0, MAX_PEER_CHARS) } : {},
  );
}

/** What a status says without a body of ours, as from a proxy. */
const CODES: Readonly<Record<number, ErrorCode>> = {
  401: 'unauthenticated',
  403: 'refused',
  404: 'not-found',
  429: 'limited',
};

function isOfTheServer({ code, cause }: CalyxError): boolean {
  // Only what the operating system refused says by which call (Node, system errors).
  return Object.hasOwn(OF_THE_SERVER, code) || typeof record(cause)['syscall'] === 'string';
}

function refusalOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || isCalyxError(error) || !('statusCode' in error)) return undefined;
  const { statusCode } = error;
  return typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500 ? statusCode : undefined;
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
