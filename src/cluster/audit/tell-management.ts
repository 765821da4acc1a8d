import type { FastifyRequest } from 'fastify';
import type { Decision } from '../../core/doorkeeper.js';
import { isCalyxError } from '../../core/errors.js';
import { plainAddress } from '../../core/network-address.js';

/** Something that is done to what a store keeps: tokens, certificates, models. */
export interface ManagementAction<T> {
  /** As the audit log calls it, e.g. `token revoke`. */
  readonly action: string;
  /** What it is about, if that is known before it is done. */
  readonly subject?: string | undefined;
  /** Does it, and says what it was about. */
  readonly run: () => Promise<{ readonly value: T; readonly subject: string }>;
}

/**
 * Does what a request asks for, and tells how that went. Whatever is done so has a line of its own in the audit log, apart from that of
 * the request, which may stand for several.
 *
 * @param tell never throws, never waits
 */
export async function tellManagement<T>(
  request: FastifyRequest,
  tell: (decision: Decision) => void,
  { action, subject, run }: ManagementAction<T>,
): Promise<T> {
  const { grant, ip } = request;
  const decision = { door: 'management', action, address: plainAddress(ip), grant } as const;
  try {
    const done = await run();
    tell({ ...decision, subject: done.subject, allowed: true });
    return done.value;
  } catch (error) {
    const reason = isCalyxError(error) ? error.code : 'internal';
    tell({ ...decision, subject, allowed: false, reason });
    throw error;
  }
}
