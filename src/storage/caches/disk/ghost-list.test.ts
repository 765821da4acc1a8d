import { describe, expect, it } from 'vitest';
import { seeded } from '../../../../test/support/seeded.js';
import { GhostList } from './ghost-list.js';

describe('GhostList', () => {
  it('remembers most of the last ones, and nothing before them', () => {
    const random = seeded(3);
    const prints = Array.from({ length: 20_000 }, () => Math.floor(random() * 2 ** 32));
    const ghosts = new GhostList();
    for (const print of prints) ghosts.add(print, 5000);
    const known = (from: number, to: number): number => prints.slice(from, to).filter((print) => ghosts.has(print)).length;
    expect(known(15_000, 20_000)).toBeGreaterThan(4000);
    expect(known(0, 15_000)).toBe(0);
    expect(Array.from({ length: 5000 }, () => Math.floor(random() * 2 ** 32)).filter((print) => ghosts.has(print))).toEqual([]);
  }); // prettier-ignore
});
