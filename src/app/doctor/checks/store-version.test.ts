import { expect, it } from 'vitest';
import { checkVersions } from './store-version.js';

it.each([
  ['1.4.2', 'ok'],
  ['1.4.9', 'ok'],
  ['1.5.0', 'warning'],
  ['2.4.2', 'warning'],
  ['11.4.2', 'warning'],
  [null, 'note'],
])('a store of version %s beside 1.4.2: %s', (version, severity) => {
  expect(checkVersions('1.4.2', [{ server: 'https://s', version }])).toMatchObject([{ severity }]);
});

it('says nothing of one that did not get so far', () => {
  expect(checkVersions('1.4.2', [{ server: 'https://s' }])).toEqual([]);
});
