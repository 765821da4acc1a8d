import { describe, expect, it } from 'vitest';
import { CalyxError } from '../../core/errors.js';
import { Patience } from './patience.js';

/** Time that only passes in sleeps. */
class Steps {
  at = 0;
  readonly slept: number[] = [];
  now = (): number => this.at;
  sleep = (ms: number): Promise<void> => {
    this.slept.push(ms);
    this.at += ms;
    return Promise.resolve();
  };
}

const signal = new AbortController().signal;
const fail = (error: CalyxError, times: number): (() => Promise<string>) => {
  let left = times;
  return () => (left-- > 0 ? Promise.reject(error) : Promise.resolve('done'));
};

describe('Patience', () => {
  it('tries again what may pass, after growing pauses', async () => {
    const clock = new Steps();
    const told: string[] = [];
    const patience = new Patience({ clock, onWait: ({ message }) => told.push(message) });
    await expect(patience.run(fail(new CalyxError('unavailable', 'gone'), 4), signal)).resolves.toBe('done');
    expect(clock.slept).toHaveLength(4);
    // Each about twice as long as the one before, give or take a quarter.
    clock.slept.forEach((ms, index) => {
      expect(ms).toBeGreaterThanOrEqual(500 * 2 ** index * 0.75);
      expect(ms).toBeLessThanOrEqual(500 * 2 ** index * 1.25);
    });
    expect(told).toEqual(['gone']);
  });

  it('waits as long as it is asked to, and so does everybody else', async () => {
    const clock = new Steps();
    const patience = new Patience({ clock });
    const limited = new CalyxError('limited', 'slow down', { retryAfterSeconds: 20 });
    await expect(patience.run(fail(limited, 1), signal)).resolves.toBe('done');
    expect(clock.at).toBe(20_000);
    clock.at = 0;
    await patience.run(fail(limited, 0), signal);
    expect(clock.at).toBe(20_000);
  });

  it('gives up at the deadline, and at once on what does not pass', async () => {
    const clock = new Steps();
    const patience = new Patience({ clock, deadlineMs: 10_000 });
    await expect(patience.run(fail(new CalyxError('timeout', 'silent'), 99), signal)).rejects.toThrow(
      'silent',
    );
    expect(clock.at).toBeLessThanOrEqual(10_000);
    const asked = new CalyxError('limited', 'in an hour', { retryAfterSeconds: 3600 });
    await expect(patience.run(fail(asked, 1), signal)).rejects.toThrow('in an hour');
    await expect(patience.run(fail(new CalyxError('refused', 'no'), 1), signal)).rejects.toThrow('no');
  });
});
