import { CalyxError } from './errors.js';

const SECOND = 1000;
const UNITS: Readonly<Record<string, number>> = {
  s: SECOND,
  m: 60 * SECOND,
  h: 3600 * SECOND,
  d: 86_400 * SECOND,
  w: 7 * 86_400 * SECOND,
  y: 365 * 86_400 * SECOND,
};

/** Reads a time such as `90s`, `12h`, `30d` or `1y` (365 days), in milliseconds. Throws CalyxError `usage`. */
export function parseDuration(text: string): number {
  const [, count, unit = ''] = /^(\d{1,6})([smhdwy])$/.exec(text) ?? [];
  const factor = UNITS[unit];
  if (factor !== undefined && Number(count) > 0) return Number(count) * factor;
  throw new CalyxError('usage', `'${text.slice(0, 100)}' is no length of time`, {
    hint: 'write a number and a unit: 90s, 30m, 12h, 30d, 4w, 1y',
  });
}
