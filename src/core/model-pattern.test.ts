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
