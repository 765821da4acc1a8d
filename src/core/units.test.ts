import { describe, expect, it } from 'vitest';
import { expectError } from '../../test/support/expect-error.js';
import { formatSeconds, formatSize, parseSize, plural } from './units.js';

describe('parseSize', () => {
  it.each([
    ['0', 0],
    ['4096', 4096],
    ['12B', 12],
    ['1k', 1024],
    ['1KB', 1000],
    ['1KiB', 1024],
    ['500MB', 500_000_000],
    ['500 MB', 500_000_000],
    ['64G', 68_719_476_736],
    ['64GiB', 68_719_476_736],
    ['64gb', 64_000_000_000],
    ['1.5T', 1_649_267_441_664],
    ['2TB', 2_000_000_000_000],
    ['0.5KiB', 512],
    ['  7MiB ', 7_340_032],
  ])('%j is %i bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each([
    '',
    'x',
    '-1',
    '+1',
    '1.',
    '.5',
    '1e3',
    '1,5G',
    '5 PB',
    '5constructor',
    '10 M B',
    '∞',
    'NaN',
    '9007199254740993',
    '99999999T',
  ])('refuses %j', async (text) => {
    await expectError(() => parseSize(text), 'usage', 'is not a size', '64GiB');
  });
});

describe('formatting', () => {
  it.each([
    [0, '0 B'],
    [1, '1 B'],
    [1023, '1023 B'],
    [1024, '1.00 KiB'],
    [10_240, '10.0 KiB'],
    [811_776, '792.8 KiB'],
    [1_048_575, '1.00 MiB'],
    [1_048_576, '1.00 MiB'],
    [10_528_128, '10.0 MiB'],
    [68_719_476_736, '64.0 GiB'],
    [400e9, '372.5 GiB'],
    [2 ** 60, '1024.0 PiB'],
  ])('%i bytes are %s', (bytes, text) => {
    expect(formatSize(bytes)).toBe(text);
  });

  it.each([
    [0, '0.0 s'],
    [0.44, '0.4 s'],
    [9.94, '9.9 s'],
    [12.4, '12 s'],
    [59.6, '1 min 0 s'],
    [60, '1 min 0 s'],
    [185, '3 min 5 s'],
  ])('%d seconds are %s', (seconds, text) => {
    expect(formatSeconds(seconds)).toBe(text);
  });

  it('makes nouns agree', () => {
    expect([0, 1, 2].map((count) => plural(count, 'block'))).toEqual(['0 blocks', '1 block', '2 blocks']);
  });
});
