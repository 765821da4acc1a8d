import type { AddressFacts } from '../facts/address-facts.js';
import { note, ok, problem, warning, type Verdict } from '../finding.js';
import { moment, span } from '../time-text.js';

const SOON_MS = 7 * 86_400_000;
const RENEW = 'make a new one on the store (calyx token create) and join with the line that it prints';

/** Whether the stores that answer take our token, what it allows, and when it ends. */
export function checkTokenStanding(addresses: readonly AddressFacts[], now: number): Verdict[] {
  const seen = new Set<string>();
  return addresses
    .flatMap((facts) => verdictOf(facts, now))
    .filter(({ message }) => !seen.has(message) && seen.add(message));
} // prettier-ignore

function verdictOf({ server, standing, refusal }: AddressFacts, now: number): Verdict[] {
  if (refusal !== undefined) return [refused(server, refusal)];
  if (standing === undefined) return [];
  const { name, role, models, token, expiresAt } = standing;
  if (token === null)
    return [
      note(`${server} asks nobody for a token: whoever reaches it may do what role ${role} may, with models ${models}`),
    ];
  const holder = `the token ${token} (${name}: role ${role}, models ${models})`;
  if (expiresAt == null) return [ok(`${holder} is good until it is revoked`)];
  const left = expiresAt - now;
  const until = `${holder} is good until ${moment(expiresAt)}`;
  return [left < SOON_MS ? warning(`${until}, for ${span(Math.max(left, 0))} more`, RENEW) : ok(until)];
} // prettier-ignore

function refused(server: string, { code, message }: NonNullable<AddressFacts['refusal']>): Verdict {
  if (code === 'unauthenticated')
    return problem(
      `${server} does not accept the token: ${message}`,
      `if it was revoked by mistake or has expired, ${RENEW}`,
    );
  if (code === 'limited')
    return warning(
      `${server} answers nothing for a while: ${message}`,
      'wait some minutes; if wrong tokens come from this machine, find what sends them (the audit log of the store names it)',
    );
  return problem(`${server} answers with a refusal: ${message}`, 'check the log of the store');
}
