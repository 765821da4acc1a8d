import { describe, expect, it } from 'vitest';
import { decodeWhole, encodeWhole } from '../../xdr/codec.js';
import { readableAttributes } from './attribute-table.js';
import { bitmap, bitmapOf, includes, isSubset } from './bitmap.js';

describe('a bitmap', () => {
  it.each([
    [[], '00000000'],
    [[0], '0000000100000001'],
    [[31], '0000000180000000'],
    [[1, 32, 75], '00000003000000020000000100000800'],
  ])('of %j is %s', (numbers, expected) => {
    expect(Buffer.from(encodeWhole(bitmap, bitmapOf(numbers))).toString('hex')).toBe(expected);
    const words = decodeWhole(bitmap, Buffer.from(expected, 'hex'));
    expect(Array.from({ length: 300 }, (_, number) => number).filter((n) => includes(words, n))).toEqual(
      numbers,
    );
  });

  it('may have eight words', () => {
    expect(decodeWhole(bitmap, Buffer.from(`00000008${'00000000'.repeat(8)}`, 'hex'))).toHaveLength(8);
    expect(() => decodeWhole(bitmap, Buffer.from(`00000009${'00000000'.repeat(9)}`, 'hex'))).toThrow(
      'at most 8',
    );
  });

  it('is in another if all its numbers are', () => {
    expect(isSubset([0x8000_0001], [0x8000_0003, 1])).toBe(true);
    expect(isSubset([0x8000_0001], [0x0000_0001])).toBe(false);
    expect(isSubset([1, 0, 1], [1])).toBe(false);
    expect(isSubset([1, 0, 0], [1])).toBe(true);
  });
});

it('attributes stand in the order of their numbers, each once', () => {
  const numbers = readableAttributes(2).map(({ number }) => number);
  expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
  // Those that a server must have: RFC 8881, section 5.6.
  expect(numbers).toEqual(expect.arrayContaining([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 19, 75]));
});
