import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findRoute, type AdvertisedStage } from './route.js';

const target = { model: 'org/name', blockCount: 12, store: 'http://store:7070' };

/** A node as `calyx node` makes it: with the embeddings if it has block 0, with the head if it has the last. */
function node(start: number, end: number, name = `n${start}-${end}`): AdvertisedStage {
  return { name, url: `http://${name}`, blocks: { start, end }, embed: start === 0, head: end === 12 };
}
const names = (route: readonly AdvertisedStage[]): string[] => route.map(({ name }) => name);

describe('findRoute', () => {
  it('joins ranges exactly, whatever their order', () => {
    expect(names(findRoute([node(8, 12), node(0, 4), node(4, 8)], target))).toEqual([
      'n0-4',
      'n4-8',
      'n8-12',
    ]);
  });

  it('takes the fewest hops', () => {
    const stages = [node(0, 4), node(4, 8), node(8, 12), node(0, 6), node(6, 12)];
    expect(names(findRoute(stages, target))).toEqual(['n0-6', 'n6-12']);
    expect(names(findRoute([...stages, node(0, 12)], target))).toEqual(['n0-12']);
  });

  it('finds the only chain through overlapping ranges', () => {
    const stages = [node(0, 7), node(0, 5), node(3, 9), node(5, 9), node(9, 12), node(8, 12)];
    expect(names(findRoute(stages, target))).toEqual(['n0-5', 'n5-9', 'n9-12']);
  });

  it('takes the first by name of equal nodes', () => {
    expect(names(findRoute([node(0, 12, 'b'), node(0, 12, 'a')], target))).toEqual(['a']);
  });

  it('does not begin without the embeddings or end without the head', () => {
    const bare = { ...node(0, 12, 'bare'), embed: false };
    expect(names(findRoute([bare, node(0, 12, 'full')], target))).toEqual(['full']);
    expect(() => findRoute([bare], target)).toThrow(/no node serves the embeddings of org\/name/);
    expect(() => findRoute([{ ...node(0, 12), head: false }], target)).toThrow(/no node serves the head/);
  });

  it.each([
    [[], 'all blocks are missing (0:12)', '--blocks 0:12 '],
    [[node(0, 4), node(8, 12)], 'the blocks 4:8', '--blocks 4:8 '],
    [[node(4, 8)], 'the blocks 0:4, 8:12', '--blocks 8:12 '],
    [[node(0, 5), node(4, 12)], 'still lacks 0:4', '--blocks 0:4 '],
    [[node(0, 5), node(4, 8), node(8, 12)], 'still lacks 5:8', '--blocks 5:8 '],
  ])('says what is missing and how to serve it (%#)', (stages, message, command) => {
    expect(() => findRoute(stages, target)).toThrow(
      expect.objectContaining({
        code: 'unavailable',
        message: expect.stringContaining(message) as string,
        hint: expect.stringContaining(`calyx node --store http://store:7070 --model org/name `) as string,
      }),
    );
    expect(() => findRoute(stages, target)).toThrow(
      expect.objectContaining({ hint: expect.stringContaining(command) as string }),
    );
  });

  it('gives a valid chain or an error for any set of nodes, and the suggested range makes it whole', () => {
    const range = fc.tuple(fc.nat(11), fc.integer({ min: 1, max: 12 })).filter(([start, end]) => start < end);
    fc.assert(
      fc.property(fc.array(range, { maxLength: 8 }), (ranges) => {
        const stages = ranges.map(([start, end]) => node(start, end));
        for (let repairs = 0; ; repairs += 1) {
          try {
            const route = findRoute(stages, target);
            expect(route[0]?.blocks.start).toBe(0);
            expect(route.at(-1)?.blocks.end).toBe(12);
            route.slice(1).forEach(({ blocks }, i) => expect(blocks.start).toBe(route[i]?.blocks.end));
            return;
          } catch (error) {
            expect(repairs).toBe(0);
            const hint = (error as { hint?: string }).hint ?? '';
            for (const [, start, end] of hint.matchAll(/--blocks (\d+):(\d+)/g))
              stages.push(node(Number(start), Number(end)));
          }
        }
      }),
    );
  });
});
