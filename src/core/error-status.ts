import type { ErrorCode } from './errors.js';

/**
 * The HTTP status (RFC 9110, section 15) for each code, the same in every room that speaks HTTP. The compiler demands every
 * code here, so a new one cannot be forgotten.
 */
export const ERROR_STATUS: Readonly<Record<ErrorCode, number>> = {
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
  // Not a conflict of the request with what is there: the same request may pass later.
  busy: 503,
  unauthenticated: 401,
  refused: 403,
  limited: 429,
  unavailable: 503,
  timeout: 504,
  // nginx's number for a client that went away; RFC 9110 has none.
  aborted: 499,
  internal: 500,
};
