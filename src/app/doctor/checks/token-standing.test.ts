import { expect, it } from 'vitest';
import { checkTokenStanding } from './token-standing.js';

const NOW = Date.UTC(2026, 4, 1);
const DAY = 86_400_000;
const server = 'https://10.0.0.1:7070';
const standing = { name: 'worker', role: 'node', models: 'acme/*', token: 'aaaaaaaaaaaa', expiresAt: null };

it.each([
  [null, 'ok', 'the token aaaaaaaaaaaa (worker: role node, models acme/*) is good until it is revoked'],
  [NOW + 30 * DAY, 'ok', 'is good until 2026-05-31 00:00 UTC'],
  [NOW + 3 * DAY, 'warning', 'is good until 2026-05-04 00:00 UTC, for 3 days more'],
])('a token with its end at %s is %s', (expiresAt, severity, message) => {
  const facts = { server, standing: { ...standing, expiresAt } };
  // The same of two stores is said once.
  expect(checkTokenStanding([facts, { ...facts, server: 'https://10.0.0.2:7070' }], NOW)).toMatchObject([
    { severity, message: expect.stringContaining(message) as string },
  ]);
});

it('tells a token that is refused, and a store that asks for none', () => {
  const refusal = { code: 'unauthenticated', message: 'this token was revoked' };
  expect(checkTokenStanding([{ server, refusal }], NOW)).toMatchObject([
    {
      severity: 'problem',
      message: `${server} does not accept the token: this token was revoked`,
      wayOut: expect.stringContaining('calyx token create') as string,
    },
  ]);
  expect(checkTokenStanding([{ server, refusal: { code: 'limited', message: 'wait' } }], NOW)).toMatchObject([
    { severity: 'warning' },
  ]);
  expect(checkTokenStanding([{ server, standing: { ...standing, token: null } }], NOW)).toMatchObject([
    { severity: 'note', message: expect.stringContaining('asks nobody') as string },
  ]);
});
