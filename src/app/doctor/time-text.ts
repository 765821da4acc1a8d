import { formatSeconds } from '../../core/units.js';

const DAY_MS = 86_400_000;

/** A moment for people, to the minute, in UTC. */
export function moment(time: number): string {
  return `${new Date(time).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** A length of time for people: seconds and minutes exactly, hours and days roughly. */
export function span(ms: number): string {
  const length = Math.abs(ms);
  if (length >= 2 * DAY_MS) return `${Math.round(length / DAY_MS)} days`;
  if (length >= 2 * 3_600_000) return `${Math.round(length / 3_600_000)} hours`;
  return formatSeconds(Math.round(length / 1000)).replace('.0 s', ' s');
}
