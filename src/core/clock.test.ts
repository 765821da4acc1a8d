import { describe, expect, it } from 'vitest';
import { abortReason, systemClock } from './clock.js';

describe('systemClock', () => {
  it('sleeps at least as long as asked', async () => {
    const start = systemClock.now();
    await systemClock.sleep(20);
    // Timers may fire up to a millisecond early by the clock's own measure.
    expect(systemClock.now() - start).toBeGreaterThanOrEqual(19);
  });

  it('ends a sleep of a day when its signal fires, with the reason', async () => {
    const controller = new AbortController();
    const sleep = systemClock.sleep(86_400_000, controller.signal);
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(sleep).rejects.toBe(reason);
    await expect(systemClock.sleep(86_400_000, controller.signal)).rejects.toBe(reason);
  });
});

it('makes an Error of any reason', () => {
  expect(abortReason(AbortSignal.abort('text'))).toEqual(new Error('text'));
  expect(abortReason(AbortSignal.abort()).name).toBe('AbortError');
});
