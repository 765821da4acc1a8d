import { describe, expect, it, vi } from 'vitest';
import { Stall } from './stall.js';

const never = (): Promise<never> => new Promise<never>(() => undefined);
const tooSlow = new Error('too slow');

describe('Stall', () => {
  it('ends what is silent, and not what is heard', async () => {
    vi.useFakeTimers();
    try {
      const stall = new Stall(new AbortController().signal, 100);
      const ended = stall.race(never()).catch((error: unknown) => stall.reason(error, () => tooSlow));
      for (let time = 0; time < 10; time += 1) {
        vi.advanceTimersByTime(99);
        stall.touch();
      }
      expect(stall.signal.aborted).toBe(false);
      vi.advanceTimersByTime(101);
      expect(await ended).toBe(tooSlow);
    } finally {
      vi.useRealTimers();
    }
  });

  it('ends what drips', () => {
    vi.useFakeTimers();
    try {
      const stall = new Stall(new AbortController().signal, 100, 250);
      for (let time = 0; time < 3; time += 1) {
        vi.advanceTimersByTime(80);
        stall.touch();
      }
      expect(stall.signal.aborted).toBe(false);
      vi.advanceTimersByTime(20);
      expect(stall.signal.aborted).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });

  it('gives the reason of its caller before any other', async () => {
    const caller = new AbortController();
    const stall = new Stall(caller.signal, 100_000);
    const reason = new Error('enough');
    const ended = stall.race(never()).catch((error: unknown) => stall.reason(error, () => tooSlow));
    caller.abort(reason);
    expect(await ended).toBe(reason);
    stall.end();
    expect(() => new Stall(caller.signal, 1)).toThrow(reason);
  });
});
