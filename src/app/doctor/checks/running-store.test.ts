import { expect, it } from 'vitest';
import { checkRunningStore } from './running-store.js';

const NOW = Date.UTC(2026, 4, 1);
const DAY = 86_400_000;
const description = {
  url: 'https://10.0.0.1:7070',
  host: '10.0.0.1',
  secured: true,
  nfs: null,
  version: '1.0.0',
  certificateNotAfter: NOW + 60 * DAY,
};

it.each([
  [60, 'ok'],
  [3, 'warning'],
  [-1, 'problem'],
])('a certificate with %d days left: %s', (days, severity) => {
  const facts = { kind: 'runs', description: { ...description, certificateNotAfter: NOW + days * DAY } } as const;
  expect(checkRunningStore(facts, '/data', '1.0.0', NOW)).toMatchObject([{ severity: 'ok' }, { severity }]);
}); // prettier-ignore

it('says that none runs, that one does not tell, and that one is of another version', () => {
  expect(checkRunningStore({ kind: 'none' }, '/data', '1.0.0', NOW)).toMatchObject([
    { severity: 'note', message: 'no store runs on /data' },
  ]);
  expect(checkRunningStore({ kind: 'untold', why: 'permission denied' }, '/data', '1.0.0', NOW)).toMatchObject([
    { severity: 'note', message: expect.stringContaining('permission denied') as string },
  ]);
  const open = { kind: 'runs', description: { ...description, secured: false } } as const;
  expect(checkRunningStore(open, '/data', '1.1.0', NOW)).toMatchObject([{ severity: 'warning' }]);
}); // prettier-ignore
