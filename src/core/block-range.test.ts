import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../test/support/expect-error.js';
import { formatBlockRange, missingBlocks, parseBlockRange } from './block-range.js';

describe('parseBlockRange', () => {
  it.each([
    ['0:1', 0, 1],
    ['4:8', 4, 8],
    ['0:12', 0, 12],
    ['11:12', 11, 12],
  ])('reads %s', (text, start, end) => {
    const range = parseBlockRange(text, 12);
    expect(range).toEqual({ start, end });
    expect(formatBlockRange(range)).toBe(text);
  });

  it.each([
    '',
    ':',
    '4',
    '4:',
    ':8',
    '4-8',
    '4:8:9',
    ' 4:8',
    '4:8\n',
    '-1:4',
    '1.5:4',
    '0x1:4',
    '4:8x',
    '٤:٨',
    '0:9999999',
  ])('refuses %j as no range', async (text) => {
    await expectError(() => parseBlockRange(text), 'usage', 'is not a block range', '4:8');
  });

  it.each(['4:4', '8:4', '0:0'])('refuses %s as empty', async (text) => {
    await expectError(() => parseBlockRange(text, 12), 'usage', text, 'is empty');
  });

  it('says how many blocks there are when a range reaches past them', async () => {
    await expectError(() => parseBlockRange('8:13', 12), 'usage', '8:13', 'the model has 12 blocks: 0:12');
    await expectError(() => parseBlockRange('0:999999'), 'usage', 'past the last block');
  });
});

describe('missingBlocks', () => {
  const ranges = (...texts: string[]) => texts.map((text) => parseBlockRange(text));

  it.each<[string[], number, string[]]>([
    [[], 12, ['0:12']],
    [['0:12'], 12, []],
    [['0:4', '4:8', '8:12'], 12, []],
    [['8:12', '0:4'], 12, ['4:8']],
    [['2:3'], 12, ['0:2', '3:12']],
    [['0:6', '2:4', '5:7'], 12, ['7:12']],
    [['0:4', '0:4'], 4, []],
    [['2:20'], 12, ['0:2']],
    [['14:20'], 12, ['0:12']],
    [['3:4', '1:2'], 5, ['0:1', '2:3', '4:5']],
  ])('%j of %i blocks leave %j', (served, count, missing) => {
    expect(missingBlocks(ranges(...served), count).map(formatBlockRange)).toEqual(missing);
  });

  it('names exactly the blocks that no range holds', () => {
    const range = fc
      .tuple(fc.nat(14), fc.integer({ min: 1, max: 6 }))
      .map(([start, n]) => ({ start, end: start + n }));
    fc.assert(
      fc.property(fc.array(range, { maxLength: 6 }), fc.integer({ min: 1, max: 16 }), (served, count) => {
        const missing = missingBlocks(served, count).flatMap(({ start, end }) =>
          Array.from({ length: end - start }, (_, i) => start + i),
        );
        const expected = Array.from({ length: count }, (_, i) => i).filter(
          (block) => !served.some(({ start, end }) => start <= block && block < end),
        );
        expect(missing).toEqual(expected);
      }),
    );
  });
});
