import { expect, it } from 'vitest';
import type { FileFacts } from '../facts/file-facts.js';
import { checkJoinedFiles } from './joined-files.js';

const cluster: FileFacts = { path: '/c/cluster.json', kind: 'file', mode: 0o600, uid: 7, size: 9 };
const ca: FileFacts = { ...cluster, path: '/c/ca.pem', mode: 0o644 };

it('is content with what join writes', () => {
  const verdicts = checkJoinedFiles({ cluster, ca, user: 7 });
  expect(verdicts.map(({ severity }) => severity)).toEqual(['ok', 'ok']);
  expect(checkJoinedFiles({ cluster: undefined, ca: undefined, user: 7 })).toEqual([]);
});

it('names what others may read, and the certificate that they may change', () => {
  const open = { cluster: { ...cluster, mode: 0o640 }, ca: { ...ca, mode: 0o664 }, user: 7 };
  expect(checkJoinedFiles(open)).toMatchObject([
    { severity: 'problem', wayOut: expect.stringMatching(/^chmod 600 \/c\/cluster\.json; .*revoke/) as string },
    { severity: 'problem', wayOut: expect.stringMatching(/^chmod 644 \/c\/ca\.pem/) as string },
  ]);
}); // prettier-ignore

it('names one that is damaged or belongs to somebody else; root may have those of others', () => {
  const damage = { message: '/c/cluster.json is damaged', hint: 'calyx leave' };
  expect(checkJoinedFiles({ cluster, ca, user: 7, damage })).toEqual([
    { severity: 'problem', message: '/c/cluster.json is damaged', wayOut: 'calyx leave' },
  ]);
  expect(checkJoinedFiles({ cluster, ca, user: 8 })).toMatchObject([{ severity: 'problem' }]);
  expect(checkJoinedFiles({ cluster, ca, user: 0 })).toMatchObject([{ severity: 'ok' }, { severity: 'ok' }]);
});
