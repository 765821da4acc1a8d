import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/expect-error.js';
import { ReplyBudget, type ReplyShare } from './reply-budget.js';

/** Takes bytes and notes when it has them. */
function ask(share: ReplyShare, bytes: number, name: string, granted: string[]): void {
  const turn = share.take(bytes);
  if (turn === undefined) granted.push(name);
  else void turn.then(() => granted.push(name));
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('ReplyBudget', () => {
  it('gives at once where there is room', () => {
    const budget = new ReplyBudget({ totalBytes: 100, connectionBytes: 40 });
    const share = budget.share();
    expect(share.take(30)).toBeUndefined();
    expect(share.take(10)).toBeUndefined();
    expect(budget.used).toBe(40);
    share.count(-40);
    expect(budget.used).toBe(0);
  });

  it('keeps one connection to its share, in order, while others go on', async () => {
    const budget = new ReplyBudget({ totalBytes: 100, connectionBytes: 30 });
    const [a, b] = [budget.share(), budget.share()];
    const granted: string[] = [];
    ask(a, 30, 'a1', granted);
    ask(a, 20, 'a2', granted);
    // There would be room for this one, but it does not overtake.
    ask(a, 0, 'a3', granted);
    ask(b, 20, 'b1', granted);
    await settled();
    expect(granted).toEqual(['a1', 'b1']);
    a.count(-30);
    await settled();
    expect(granted).toEqual(['a1', 'b1', 'a2', 'a3']);
  });

  it('serves connections in turn, whoever asks more often', async () => {
    const budget = new ReplyBudget({ totalBytes: 10, connectionBytes: 10 });
    const [a, b, c] = [budget.share(), budget.share(), budget.share()];
    const granted: string[] = [];
    ask(a, 10, 'a0', granted);
    for (let index = 1; index <= 4; index += 1) ask(a, 10, `a${index}`, granted);
    for (let index = 1; index <= 2; index += 1) ask(b, 10, `b${index}`, granted);
    ask(c, 10, 'c1', granted);
    const owners = { a, b, c };
    for (let round = 1; round <= 8; round += 1) {
      await settled();
      expect(granted).toHaveLength(round);
      expect(budget.used).toBe(10);
      owners[granted.at(-1)?.[0] as 'a' | 'b' | 'c'].count(-10);
    }
    expect(granted).toEqual(['a0', 'a1', 'b1', 'c1', 'a2', 'b2', 'a3', 'a4']);
    expect(budget.used).toBe(0);
  });

  it('lets nobody who asks for little overtake who waits for much', async () => {
    const budget = new ReplyBudget({ totalBytes: 100, connectionBytes: 100 });
    const [a, b, c, d] = [budget.share(), budget.share(), budget.share(), budget.share()];
    const granted: string[] = [];
    ask(a, 45, 'a', granted);
    ask(b, 45, 'b', granted);
    ask(c, 50, 'much', granted);
    ask(d, 5, 'little', granted);
    await settled();
    expect(granted).toEqual(['a', 'b']);
    a.count(-45);
    await settled();
    expect(granted).toEqual(['a', 'b', 'much', 'little']);
  });

  it('gives more than there is to who is alone', async () => {
    const budget = new ReplyBudget({ totalBytes: 10, connectionBytes: 5 });
    const [a, b] = [budget.share(), budget.share()];
    const granted: string[] = [];
    ask(a, 1, 'a', granted);
    ask(b, 1000, 'b', granted);
    await settled();
    expect(granted).toEqual(['a']);
    a.count(-1);
    await settled();
    expect(granted).toEqual(['a', 'b']);
  });

  it('leaves something to who comes after those that take and do not give back', () => {
    const budget = new ReplyBudget({ totalBytes: 64, connectionBytes: 16 });
    for (let slow = 0; slow < 4; slow += 1) {
      const share = budget.share();
      for (let index = 0; index < 16; index += 1) share.take(1)?.catch(() => undefined);
    }
    expect(budget.used).toBeLessThan(60);
    expect(budget.share().take(1)).toBeUndefined();
  });

  it('forgets the waiters of a connection that is gone, and serves the next', async () => {
    const budget = new ReplyBudget({ totalBytes: 10, connectionBytes: 10 });
    const [a, b, c] = [budget.share(), budget.share(), budget.share()];
    const granted: string[] = [];
    ask(a, 6, 'a', granted);
    const gone = expectError(() => b.take(10), 'aborted', 'gone');
    ask(c, 4, 'c', granted);
    b.close();
    await gone;
    expect(granted).toEqual(['a', 'c']);
    expect(budget.used).toBe(10);
  });
});
