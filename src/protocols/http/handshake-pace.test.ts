import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { HandshakePace } from './handshake-pace.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Counts whose handshakes have begun. */
function make(): {
  pace: HandshakePace;
  begun: Map<string, number>;
  come: (who: string, times: number) => (() => void)[];
} {
  const pace = new HandshakePace({ perAddress: 100, inAll: 200 });
  const begun = new Map<string, number>();
  const come = (who: string, times: number): (() => void)[] =>
    Array.from({ length: times }, () => pace.enter(who, () => begun.set(who, (begun.get(who) ?? 0) + 1)));
  return { pace, begun, come };
}

const FLOOD = '192.0.2.1';
const OTHER = '192.0.2.2';

describe('the pace of handshakes', () => {
  it('lets an address begin with half a second of them at once, and goes on at its rate', () => {
    const { begun, come } = make();
    come(FLOOD, 500);
    expect(begun.get(FLOOD)).toBe(50);
    vi.advanceTimersByTime(1_000);
    expect(begun.get(FLOOD)).toBeGreaterThanOrEqual(148);
    expect(begun.get(FLOOD)).toBeLessThanOrEqual(150);
    vi.advanceTimersByTime(10_000);
    expect(begun.get(FLOOD)).toBe(500);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('keeps one address from holding up another', () => {
    const { begun, come } = make();
    come(FLOOD, 500);
    come(OTHER, 1);
    vi.advanceTimersByTime(20);
    expect(begun.get(OTHER)).toBe(1);
  });

  it('counts a /64 of IPv6 as one address', () => {
    const { begun, come } = make();
    for (let i = 1; i <= 80; i += 1) come(`2001:db8::${i.toString(16)}`, 1);
    expect(begun.size).toBe(50);
  });

  it('has a rate of all together, in which addresses take turns', () => {
    const { begun, come } = make();
    for (let i = 1; i <= 20; i += 1) come(`198.51.100.${i}`, 50);
    expect([...begun.values()].reduce((sum, count) => sum + count)).toBe(100);
    come(OTHER, 1);
    vi.advanceTimersByTime(200);
    expect(begun.get(OTHER)).toBe(1);
    vi.advanceTimersByTime(800);
    const all = [...begun.values()].reduce((sum, count) => sum + count);
    expect(all).toBeGreaterThan(290);
    expect(all).toBeLessThanOrEqual(300);
  });

  it('does not begin for who has left meanwhile', () => {
    const { begun, come } = make();
    for (const leave of come(FLOOD, 60)) leave();
    vi.advanceTimersByTime(1_000);
    expect(begun.get(FLOOD)).toBe(50);
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each([['127.0.0.1'], ['127.1.2.3'], ['::1']])('is no matter of this machine (%s)', (address) => {
    const { begun, come } = make();
    come(address, 1_000);
    expect(begun.get(address)).toBe(1_000);
  });
});
