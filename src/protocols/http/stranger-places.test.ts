import { describe, expect, it } from 'vitest';
import { StrangerPlaces, type Stranger, type StrangerStage } from './stranger-places.js';

function places(perAddress: number, inAll: number) {
  const clock = { time: 0, now: () => clock.time, sleep: () => Promise.reject(new Error('not used')) };
  const taken = new StrangerPlaces({ perAddress, inAll, clock });
  const dropped: string[] = [];
  const come = (name: string, stage: StrangerStage = 'silent', address = '192.0.2.1'): Stranger => {
    const stranger = { address, since: clock.time, stage, drop: () => void dropped.push(name) };
    taken.enter(stranger);
    return stranger;
  };
  return { clock, taken, dropped, come };
}

describe('StrangerPlaces', () => {
  it('lets the oldest make room for the newest', () => {
    const { clock, taken, dropped, come } = places(2, 10);
    for (const name of ['a', 'b', 'c', 'd']) {
      come(name);
      clock.time += 1000;
    }
    expect(dropped).toEqual(['a', 'b']);
    expect(taken.count).toBe(2);
  });

  it('lets those make room first who have come least far', () => {
    const { clock, dropped, come } = places(3, 10);
    come('asks', 'asking');
    come('speaks TLS', 'handshake');
    come('is silent');
    clock.time += 1000;
    for (const name of ['x', 'y', 'z']) come(name, 'asking');
    expect(dropped).toEqual(['is silent', 'speaks TLS', 'asks']);
  });

  it('gives who just came a moment', () => {
    const { clock, dropped, come } = places(2, 10);
    come('asks since long', 'asking');
    clock.time += 1000;
    come('just came');
    come('next');
    expect(dropped).toEqual(['asks since long']);
    // If all just came, the oldest of them goes.
    come('one more');
    expect(dropped).toEqual(['asks since long', 'just came']);
  });

  it('when all are taken, the address that has most makes room', () => {
    const { clock, dropped, come } = places(3, 4);
    come('alone', 'silent', '198.51.100.1');
    for (const name of ['a', 'b', 'c']) come(name);
    clock.time += 1000;
    come('another', 'silent', '198.51.100.2');
    expect(dropped).toEqual(['a']);
  });

  it('counts the networks of IPv6 as one, and IPv4 addresses each', () => {
    const { dropped, come } = places(1, 10);
    come('a', 'silent', '2001:db8::1');
    come('b', 'silent', '2001:db8:0:0:ffff::2');
    come('c', 'silent', '2001:db8:0:1::1');
    come('d', 'silent', '192.0.2.1');
    come('e', 'silent', '192.0.2.2');
    expect(dropped).toEqual(['a']);
  });

  it('has the place of who left, once', () => {
    const { taken, dropped, come } = places(2, 2);
    const left = come('a');
    come('b');
    taken.leave(left);
    taken.leave(left);
    come('c');
    expect([taken.count, dropped]).toEqual([2, []]);
    taken.clear();
    expect([taken.count, dropped]).toEqual([0, ['b', 'c']]);
  });
});
