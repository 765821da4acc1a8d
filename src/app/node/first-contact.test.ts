import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { Clock } from '../../core/clock.js';
import { CalyxError } from '../../core/errors.js';
import { firstContact } from './first-contact.js';

const signal = new AbortController().signal;
const gone = new CalyxError('unavailable', 'nobody is there');

/** A clock whose sleeps take no time, and a logger that gathers. */
function setUp(): { pauses: number[]; lines: string[]; clock: Clock; logger: pino.Logger } {
  const pauses: number[] = [];
  const lines: string[] = [];
  let now = 0;
  const clock: Clock = {
    now: () => now,
    sleep: (ms, stop) => {
      stop?.throwIfAborted();
      pauses.push(ms);
      now += ms;
      return Promise.resolve();
    },
  };
  const logger = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
  return { pauses, lines, clock, logger };
}

describe('firstContact', () => {
  it('tries again until somebody answers, and notes it once', async () => {
    const { pauses, lines, clock, logger } = setUp();
    let calls = 0;
    const ask = (): Promise<string> => {
      calls += 1;
      const late = new CalyxError('timeout', 'no answer');
      return calls < 4 ? Promise.reject(calls === 2 ? late : gone) : Promise.resolve('here');
    };
    expect(await firstContact(ask, { signal, logger, clock })).toBe('here');
    expect(pauses).toEqual([250, 500, 1000]);
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 40,
      msg: expect.stringContaining('nobody is there') as string,
    });
  });

  it('gives up in bounded time, with pauses that grow to 5 s', async () => {
    const { pauses, clock, logger } = setUp();
    await expect(firstContact(() => Promise.reject(gone), { signal, logger, clock })).rejects.toBe(gone);
    expect(pauses).toEqual([250, 500, 1000, 2000, 4000, 5000, 5000, 5000, 5000]);
  });

  it('does not try again after an answer', async () => {
    const { pauses, lines, clock, logger } = setUp();
    const missing = new CalyxError('not-found', 'no such model');
    await expect(firstContact(() => Promise.reject(missing), { signal, logger, clock })).rejects.toBe(
      missing,
    );
    expect([...pauses, ...lines]).toEqual([]);
  });

  it('stops when the signal fires', async () => {
    const { pauses, clock, logger } = setUp();
    const stop = new AbortController();
    const ask = (): Promise<never> => {
      if (pauses.length === 2) stop.abort(new Error('enough'));
      return Promise.reject(gone);
    };
    await expect(firstContact(ask, { signal: stop.signal, logger, clock })).rejects.toThrow('enough');
    expect(pauses).toHaveLength(2);
  });
});
