import type { Decision } from '../../core/doorkeeper.js';
import { printableJson } from '../../core/printable.js';

const MAX_TEXT = 200;

/**
 * A decision as a line of JSON; nothing in it is longer than 200 characters, and nothing that a terminal would obey.
 *
 * @param time milliseconds since 1970
 * @param count for how many it stands; those that a line stood for before are not in it
 */
export function auditLine(decision: Decision, time: number, count: number): string {
  const { door, action, subject, address, grant, allowed, reason } = decision;
  const line = {
    time: new Date(time).toISOString(),
    door,
    action: bounded(action),
    subject: bounded(subject),
    who: bounded(grant?.name),
    token: bounded(grant?.tokenId),
    role: grant?.role,
    address: bounded(address),
    allowed,
    reason: bounded(reason),
    count,
  };
  return `${printableJson(JSON.stringify(line))}\n`;
}

function bounded(text: string | undefined): string | undefined {
  return text?.slice(0, MAX_TEXT);
}
