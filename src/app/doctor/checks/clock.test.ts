import { describe, expect, it } from 'vitest';
import { checkClock } from './clock.js';

const NOW = Date.UTC(2026, 4, 1, 12);
const MINUTE = 60_000;
const DAY = 86_400_000;
const server = 'https://10.0.0.1:7070';
const good = { of: 'the store', notBefore: NOW - DAY, notAfter: NOW + DAY };

describe('checkClock', () => {
  it.each([
    [0, 'ok', 'the clock agrees with that of https://10.0.0.1:7070'],
    [-20_000, 'ok', 'the clock agrees'],
    [2 * MINUTE, 'note', 'this clock is 2 min 0 s ahead of that of'],
    [5 * MINUTE + 1000, 'warning', 'this clock is 5 min 1 s ahead of'],
    [-3 * 3_600_000, 'warning', 'this clock is 3 hours behind'],
  ])('an offset of %d ms is %s', (offsetMs, severity, message) => {
    const [verdict, ...more] = checkClock({
      now: NOW,
      offsets: [{ server, offsetMs }],
      certificates: [good],
    });
    expect(verdict).toMatchObject({ severity, message: expect.stringContaining(message) as string });
    if (severity !== 'ok') expect(verdict?.wayOut).toContain('timedatectl');
    expect(more).toEqual([]);
  });

  it('tells a wrong clock from a certificate that is over', () => {
    const over = { ...good, notAfter: NOW - 40 * DAY };
    const wrong = checkClock({ now: NOW, offsets: [{ server, offsetMs: 50 * DAY }], certificates: [over] });
    expect(wrong).toMatchObject([
      { severity: 'problem', message: expect.stringContaining('ended at 2026-03-22 12:00 UTC, 40 days ago') as string },
      { severity: 'warning', message: expect.stringContaining('this clock is 50 days ahead') as string },
    ]);
    expect(wrong[0]?.wayOut).toContain('timedatectl');
    const [really] = checkClock({ now: NOW, offsets: [{ server, offsetMs: 0 }], certificates: [over] });
    expect(really?.wayOut).toContain('start the store again');
    expect(really?.wayOut).not.toContain('timedatectl');
  });

  it('tells a certificate that is not good yet', () => {
    const early = { ...good, notBefore: NOW + 3 * DAY };
    expect(checkClock({ now: NOW, offsets: [], certificates: [early] })).toMatchObject([
      { severity: 'problem', message: expect.stringContaining('begins only at 2026-05-04 12:00 UTC') as string },
    ]);
  });

  it('says that nobody told the time', () => {
    expect(checkClock({ now: NOW, offsets: [], certificates: [good] })).toMatchObject([{ severity: 'note' }]);
  });
}); // prettier-ignore
