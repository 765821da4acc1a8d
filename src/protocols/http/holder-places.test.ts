import { describe, expect, it } from 'vitest';
import { HolderPlaces, type HolderConnection } from './holder-places.js';

function places(max: number) {
  const taken = new HolderPlaces(max);
  const dropped: string[] = [];
  const come = (name: string, tokenId: string, state: 'idle' | 'busy' = 'busy', manages = false) => {
    const connection = {
      busy: state === 'busy',
      isIdle: () => !connection.busy,
      drop: () => void dropped.push(name),
    };
    taken.enter(connection, { tokenId, manages });
    return connection satisfies HolderConnection;
  };
  const refused = (tokenId: string): unknown => {
    try {
      come('refused', tokenId);
    } catch (error) {
      return error;
    }
    throw new Error('it was let in');
  };
  return { taken, dropped, come, refused };
}

describe('HolderPlaces', () => {
  it('gives one token all places while nobody else wants any, then says no', () => {
    const { taken, dropped, come, refused } = places(3);
    for (const name of ['1', '2', '3']) come(name, 'greedy');
    expect(refused('greedy')).toMatchObject({
      code: 'busy',
      message: 'this server has 3 connections already, its limit, and 3 of them are of this token',
      retryAfterSeconds: 2,
    });
    expect([taken.count, dropped]).toEqual([3, []]);
  });

  it('lets the token that has most make room for others, until they have as many', () => {
    const { taken, dropped, come, refused } = places(4);
    for (const name of ['1', '2', '3', '4']) come(name, 'greedy');
    come('a', 'other');
    come('b', 'other');
    // Of those that are busy the youngest goes, which loses least.
    expect([taken.count, dropped]).toEqual([4, ['4', '3']]);
    for (const tokenId of ['other', 'greedy']) expect(refused(tokenId)).toMatchObject({ code: 'busy' });
    come('c', 'third');
    expect(dropped).toEqual(['4', '3', '2']);
  });

  it('lets two tokens that differ by one not take a place from each other by turns', () => {
    const { come, refused } = places(3);
    for (const name of ['1', '2']) come(name, 'a');
    come('3', 'b');
    expect(refused('b')).toMatchObject({ code: 'busy' });
  });

  it('ends those first that are idle longest, of the same token too', () => {
    const { dropped, come, taken } = places(4);
    const [used] = [come('used since', 'greedy', 'idle'), come('idle', 'greedy', 'idle')];
    come('busy', 'greedy');
    come('busy too', 'greedy');
    taken.used(used);
    come('5', 'greedy');
    expect(dropped).toEqual(['idle']);
    come('a', 'other');
    expect(dropped).toEqual(['idle', 'used since']);
  });

  it('makes room for who manages, also if no token has more than another', () => {
    const { dropped, come, refused } = places(2);
    come('1', 'a');
    come('2', 'b');
    expect(refused('c')).toMatchObject({ code: 'busy' });
    come('the admin', 'admin', 'busy', true);
    expect(dropped).toEqual(['1']);
  });

  it('has the place of who left, once', () => {
    const { taken, dropped, come } = places(2);
    const left = come('1', 'a');
    come('2', 'a');
    taken.leave(left);
    taken.leave(left);
    taken.used(left);
    come('3', 'a');
    expect([taken.count, dropped]).toEqual([2, []]);
  });
});
