import { CalyxError } from './errors.js';

const KIB = 1024;
const UNITS: Readonly<Record<string, number>> = {
  b: 1,
  k: KIB,
  kb: 1e3,
  kib: KIB,
  m: KIB ** 2,
  mb: 1e6,
  mib: KIB ** 2,
  g: KIB ** 3,
  gb: 1e9,
  gib: KIB ** 3,
  t: KIB ** 4,
  tb: 1e12,
  tib: KIB ** 4,
};

/**
 * Reads a size such as `500MB` (decimal), `64GiB` or `64G` (binary), or a plain number of bytes.
 *
 * @returns bytes
 * @throws CalyxError `usage`
 */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  const factor = match === null ? undefined : UNITS[(match[2] ?? '').toLowerCase() || 'b'];
  const bytes = Math.floor(Number(match?.[1]) * (factor ?? Number.NaN));
  if (!Number.isSafeInteger(bytes)) {
    throw new CalyxError('usage', `'${text}' is not a size`, {
      hint: 'write a number of bytes, or a number with a unit: 500MB, 64GiB, 1.5T',
    });
  }
  return bytes;
}

const NAMES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** Writes bytes for people: `3.4 MiB`. Exact below 1 KiB, two or three digits above. */
export function formatSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  // By what will be shown, so that a byte less than a MiB isn't 1024.0 KiB.
  while (Math.round(value * 10) / 10 >= KIB && unit < NAMES.length - 1) {
    value /= KIB;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${NAMES[unit] ?? ''}`;
}

/** Writes a number with a noun that agrees with it: `1 block`, `3 blocks`. */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Writes seconds for people: `0.4 s`, `12 s`, `3 min 5 s`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
