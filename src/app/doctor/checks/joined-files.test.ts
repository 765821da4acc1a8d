import { expect, it } from 'vitest';
import type { FileFacts } from '../facts/file-facts.js';
import { checkJoinedFiles } from './joined-files.js';

const cluster: FileFacts = { path: '/c/cluster.json', kind: 'file', mode: 0o600, uid: 7, size: 9 };
const ca: FileFacts = { ...cluster, path: '/c/ca.pem', mode: 0o644 };

it('is content with what join writes', () => {
  const verdicts = checkJoinedFiles({ cluster, ca, owners: [7, 0] });
  expect(verdicts.map(({ severity }) => severity)).toEqual(['ok', 'ok']);
  expect(checkJoinedFiles({ cluster: undefined, ca: undefined, owners: [7, 0] })).toEqual([]);
});

it('names what others may read, and the certificate that they may change', () => {
  const open = { cluster: { ...cluster, mode: 0o640 }, ca: { ...ca, mode: 0o664 }, owners: [7, 0] };
  expect(checkJoinedFiles(open)).toMatchObject([
    { severity: 'problem', wayOut: expect.stringMatching(/^chmod 600 \/c\/cluster\.json; .*revoke/) as string },
    { severity: 'problem', wayOut: expect.stringMatching(/^chmod 644 \/c\/ca\.pem/) as string },
  ]);
}); // prettier-ignore

it('names one that is damaged or belongs to somebody else', () => {
  const damage = { message: '/c/cluster.json is damaged', hint: 'calyx leave' };
  expect(checkJoinedFiles({ cluster, ca, owners: [7, 0], damage })).toEqual([
    { severity: 'problem', message: '/c/cluster.json is damaged', wayOut: 'calyx leave' },
  ]);
  expect(checkJoinedFiles({ cluster, ca, owners: [8, 0] })).toMatchObject([{ severity: 'problem' }]);
  expect(checkJoinedFiles({ cluster, ca, owners: undefined })).toMatchObject([
    { severity: 'ok' },
    { severity: 'ok' },
  ]);
});
