import { expect, it } from 'vitest';
import { checkStoreIdentity } from './store-identity.js';

const NOW = Date.UTC(2026, 4, 1);
const DAY = 86_400_000;
const good = {
  kind: 'good',
  fingerprint: 'FINGER',
  notBefore: NOW - DAY,
  notAfter: NOW + 1000 * DAY,
} as const;

it('shows the fingerprint of one that counts', () => {
  expect(checkStoreIdentity(good, NOW)).toEqual([
    { severity: 'ok', message: 'the certificate of the cluster (FINGER) counts, and its key fits' },
  ]);
});

it.each([
  [{ ...good, notAfter: NOW + 30 * DAY }, 'warning', 'ends at 2026-05-31'],
  [{ ...good, notAfter: NOW }, 'problem', 'ended at 2026-05-01'],
  [{ ...good, notBefore: NOW + DAY }, 'problem', 'not good before 2026-05-02'],
  [{ kind: 'missing', path: '/d' } as const, 'note', 'no identity yet'],
  [{ kind: 'hidden', path: '/d', why: 'permission denied' } as const, 'note', 'permission denied'],
  [{ kind: 'damaged', message: 'it is damaged', hint: 'restore it' } as const, 'problem', 'it is damaged'],
])('%o is a %s', (facts, severity, message) => {
  expect(checkStoreIdentity(facts, NOW)).toMatchObject([
    {
      severity,
      message: expect.stringContaining(message) as string,
      wayOut: expect.any(String) as string,
    },
  ]);
});
