import { expect, it } from 'vitest';
import { checkNodeVersion } from './node-version.js';

it.each([
  ['18.20.4', 'problem'],
  ['20.0.0', 'ok'],
  ['24.1.0', 'ok'],
])('Node.js %s: %s', (version, severity) => {
  expect(checkNodeVersion(version)).toMatchObject([{ severity }]);
});
