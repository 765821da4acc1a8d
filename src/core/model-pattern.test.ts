import { expect, test } from 'vitest';
import { parseModelPattern } from './model-pattern.js';

test.each([
  ['acme/rose', true],
  ['acme/*', true],
  ['*/rose', true],
  ['*/*', true],
  ['*', true],
  ['a*e/r*e', true],
  ['acme/ros', false],
  ['acme/rose.', false],
  ['cme/rose', false],
  ['acme/ros.', false],
  ['*/', undefined],
  ['', undefined],
  ['acme', undefined],
  ['acme/rose/x', undefined],
  ['acme/(', undefined],
  ['**', undefined],
])('%s', (text, matches) => {
  if (matches === undefined) expect(() => parseModelPattern(text)).toThrow('is no pattern of models');
  else expect(parseModelPattern(text)({ org: 'acme', name: 'rose' })).toBe(matches);
});

test("'*' does not cross the slash", () => {
  expect(parseModelPattern('a*e/rose')({ org: 'a', name: 'e' })).toBe(false);
  expect(parseModelPattern('acme/*')({ org: 'acme.x', name: 'rose' })).toBe(false);
});

test('is read in time that does not explode with its stars', () => {
  const pattern = parseModelPattern(`a/${'*a'.repeat(140)}*b`);
  const begin = performance.now();
  expect(pattern({ org: 'a', name: 'a'.repeat(96) })).toBe(false);
  expect(parseModelPattern(`a/${'*a'.repeat(48)}*`)({ org: 'a', name: 'a'.repeat(96) })).toBe(true);
  expect(performance.now() - begin).toBeLessThan(1000);
});

test('keeps organisations apart', () => {
  expect(parseModelPattern('a*/b')({ org: 'a', name: 'x' })).toBe(false);
  expect(parseModelPattern('*/b')({ org: 'a', name: 'b' })).toBe(true);
  expect(parseModelPattern('a*b/*c')({ org: 'aXb', name: 'YcZc' })).toBe(true);
  expect(parseModelPattern('a*b/*c')({ org: 'aX', name: 'b-c' })).toBe(false);
});
