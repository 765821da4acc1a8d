import { describe, expect, it } from 'vitest';
import { parseDuration } from './duration.js';

describe('parseDuration', () => {
  it.each([
    ['90s', 90_000],
    ['30m', 1_800_000],
    ['12h', 43_200_000],
    ['30d', 2_592_000_000],
    ['4w', 2_419_200_000],
    ['1y', 31_536_000_000],
  ])('%s', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each([[''], ['0d'], ['d'], ['-1d'], ['1.5h'], ['30'], ['30 d'], ['9999999d'], ['1D']])(
    'refuses %j',
    (text) => {
      expect(() => parseDuration(text)).toThrow('is no length of time');
    },
  );
});
