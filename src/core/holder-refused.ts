import type { Grant } from './access.js';
import { CalyxError } from './errors.js';

/**
 * Why somebody is turned away who has proven who it is, by the secret of a token or a certificate of the cluster: the token was revoked,
 * has expired, or asks too often. The holder is for the audit log, which could not say otherwise whose token it was; a token with a wrong
 * secret proves nothing, so its id is told nowhere.
 */
export class HolderRefused extends CalyxError {
  readonly holder: Grant;

  constructor(holder: Grant, { code, message, hint, retryAfterSeconds }: CalyxError) {
    super(code, message, {
      ...(hint !== undefined && { hint }),
      ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
    });
    this.holder = holder;
  }
}

/** Who it is that was turned away, if that is known. */
export function holderOf(error: unknown): Grant | undefined {
  return error instanceof HolderRefused ? error.holder : undefined;
}

/** Runs a check of somebody who is known, and names that one in what it throws. */
export function namingHolder<T>(holder: Grant, check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (error instanceof CalyxError) throw new HolderRefused(holder, error);
    throw error;
  }
}
