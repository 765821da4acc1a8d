import type { Role } from '../../core/access.js';
import { CalyxError } from '../../core/errors.js';
import { parseModelPattern } from '../../core/model-pattern.js';
import { MAX_TOKEN_LIFETIME_MS, tokenNameSchema } from './token-record.js';

/** What a new token is to be. */
export interface NewToken {
  readonly name: string;
  readonly role: Role;
  /** A pattern of models. */
  readonly models: string;
  /** Undefined: it is good until it is revoked. */
  readonly expiresInMs?: number | undefined;
  /** The id of the token whose holder wants it; undefined: who manages the store on its machine. */
  readonly madeWith?: string | undefined;
}

/** Checks that a token can be like that. @throws CalyxError `usage` */
export function checkNewToken({ name, models, expiresInMs }: NewToken): void {
  const named = tokenNameSchema.safeParse(name);
  if (!named.success)
    throw new CalyxError('usage', `this is no name for a token: ${named.error.issues[0]?.message ?? ''}`, {
      hint: 'a name has 1 to 100 printable characters',
    });
  parseModelPattern(models);
  if (expiresInMs !== undefined && !(expiresInMs >= 1000 && expiresInMs <= MAX_TOKEN_LIFETIME_MS))
    throw new CalyxError('usage', 'a token can live from one second to ten years', {
      hint: 'leave the time away for one that is good until it is revoked',
    });
}
