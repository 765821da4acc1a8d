import { expect, it } from 'vitest';
import { CalyxError } from '../../core/errors.js';
import { Checkup } from './checkup.js';
import { ok } from './finding.js';

it('goes on when one check fails and another hangs, in the order of the checks', async () => {
  const patience = new AbortController();
  const checks = new Checkup('store', patience.signal);
  checks.add('mount', () => new Promise(() => undefined));
  checks.add('refs', () => Promise.reject(new CalyxError('unreadable', 'no way', { hint: 'look' })));
  checks.add('disk', () => [ok('fine')]);
  patience.abort();
  expect(await checks.findings()).toEqual([
    { area: 'store', check: 'mount', severity: 'note', message: 'could not look at the mount: it took too long', wayOut: undefined },
    { area: 'store', check: 'refs', severity: 'note', message: 'could not look at the refs: no way', wayOut: 'look' },
    { area: 'store', check: 'disk', severity: 'ok', message: 'fine' },
  ]);
}); // prettier-ignore
