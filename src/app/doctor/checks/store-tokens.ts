import type { TokenRecord } from '../../../cluster/tokens/token-record.js';
import { plural } from '../../../core/units.js';
import { note, ok, warning, type Verdict } from '../finding.js';

/** The name of the token that each store makes for its own commands. */
const LOCAL = 'local';
/** A table holds 10,000, and nobody looks through so many. */
const MANY = 200;
const SHOWN = 5;

/** Tokens that are more powerful, older or more than they should be. */
export function checkStoreTokens(tokens: readonly TokenRecord[], now: number): Verdict[] {
  const live = tokens.filter(
    ({ expiresAt, revokedAt }) => revokedAt === undefined && (expiresAt ?? Infinity) > now,
  );
  const expired = tokens.filter(
    ({ expiresAt, revokedAt }) => revokedAt === undefined && (expiresAt ?? Infinity) <= now,
  );
  const endless = live.filter(
    ({ name, role, expiresAt }) => role === 'admin' && expiresAt === undefined && name !== LOCAL,
  );
  const verdicts: Verdict[] = [ok(`${plural(live.length, 'token')} can be used`)];
  if (endless.length > 0)
    verdicts.push(
      note(
        `${plural(endless.length, 'admin token')} without an end: ${names(endless)}`,
        'make one that ends (calyx token create --role admin --expires 30d), then calyx token revoke the old one',
      ),
    );
  if (expired.length > 0)
    verdicts.push(
      note(
        `${plural(expired.length, 'token')} expired: ${names(expired)}`,
        'whoever needs one joins with a new line of calyx token create',
      ),
    );
  if (live.length > MANY)
    verdicts.push(
      warning(
        `${live.length} tokens can be used: nobody knows any more who has them`,
        'calyx token list, and revoke those that are not needed; give new ones an end (--expires)',
      ),
    );
  return verdicts;
}

function names(tokens: readonly TokenRecord[]): string {
  const shown = tokens.slice(0, SHOWN).map(({ id, name }) => `${id} (${name})`);
  const more = tokens.length - shown.length;
  return shown.join(', ') + (more > 0 ? ` and ${more} more` : '');
}
