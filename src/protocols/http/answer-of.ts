import type { FastifyRequest } from 'fastify';
import { hasRole, type Grant } from '../../core/access.js';
import { toWireError, type WireAnswer } from '../../core/wire-error.js';

/** What is answered in place of what failed; who manages is told more. */
export function answerOf(error: unknown, request: FastifyRequest): WireAnswer {
  // Not there until it is known who asks.
  const grant = request.grant as Grant | null | undefined;
  return toWireError(error, { forAdmin: grant != null && hasRole(grant, 'admin') });
}

/** True for what the log must tell. */
export function isFailure({ status, reference }: WireAnswer): boolean {
  return status >= 500 || reference !== undefined;
}
