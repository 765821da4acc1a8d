import { describe, expect, test } from 'vitest';
import { checkParts, formatSliceSpec, parseSliceSpec, partsOfSlice, sortParts } from './slice-spec.js';

describe('names of slices', () => {
  test.each([
    ['4-8', 4, 8, false, false],
    ['0-4+embed', 0, 4, true, false],
    ['8-12+head', 8, 12, false, true],
    ['0-12+embed+head', 0, 12, true, true],
    ['11-12', 11, 12, false, false],
  ])('%s', (text, start, end, embed, head) => {
    const spec = { blocks: { start, end }, embed, head };
    expect(parseSliceSpec(text, 12)).toEqual(spec);
    expect(formatSliceSpec(spec)).toBe(text);
  });

  test.each([
    '',
    '4',
    '4-',
    '-8',
    '04-8',
    '4-08',
    '00-4',
    '+4-8',
    '4-8 ',
    ' 4-8',
    '4:8',
    '4-8+head+embed',
    '4-8+embed+embed',
    '4-8+',
    '4-8+Embed',
    '8-4',
    '4-4',
    '0-0',
    '0-13',
    '12-13',
    '0-99',
    '+embed',
    '+head',
    'embed',
    '4-8+embed\n',
    '4-8/',
    '0x4-8',
    '4-8+embed+head+x',
    '1e1-12',
    '٤-٨',
    '4--8',
    '-1-4',
    '100000-100001',
    '4-8%2Bembed',
  ])('%j is none', (text) => {
    expect(parseSliceSpec(text, 12)).toBeUndefined();
  });

  test('a name depends on the number of blocks', () => {
    expect(parseSliceSpec('0-12', 12)).toBeDefined();
    expect(parseSliceSpec('0-12', 11)).toBeUndefined();
  });
});

test('partsOfSlice lists them in the order of the model', () => {
  const blocks = { start: 4, end: 7 };
  expect(partsOfSlice({ blocks, embed: true, head: true }, 12)).toEqual(['embed', 4, 5, 6, 'head']);
  expect(partsOfSlice({ blocks, embed: false, head: false }, 12)).toEqual([4, 5, 6]);
  expect(partsOfSlice({ blocks, embed: false, head: true }, 7)).toEqual([4, 5, 6, 'head']);
  expect(() => partsOfSlice({ blocks, embed: false, head: false }, 6)).toThrow(/reaches past the last block/);
});

test('sortParts puts parts in the order of the model, each once', () => {
  expect(sortParts(['head', 10, 9, 'embed', 2, 9, 'head'])).toEqual(['embed', 2, 9, 10, 'head']);
  expect(sortParts([])).toEqual([]);
});

test('checkParts names the block that does not exist', () => {
  expect(() => checkParts(['embed', 3, 'head'], 4)).not.toThrow();
  expect(() => checkParts([3, 4], 4)).toThrow('the model has no block 4; it has 4 blocks');
});
