import { describe, expect, it } from 'vitest';
import type { FileFacts } from '../facts/file-facts.js';
import { checkPrivateFiles } from './private-files.js';

const directory: FileFacts = {
  path: '/data/.calyx/cluster',
  kind: 'directory',
  mode: 0o700,
  uid: 7,
  size: 0,
};
const file: FileFacts = {
  path: '/data/.calyx/cluster/identity.pem',
  kind: 'file',
  mode: 0o600,
  uid: 7,
  size: 9,
};
const rest = { what: 'the secrets', owners: [7], ifRead: 'join anew' };

describe('checkPrivateFiles', () => {
  it('is content with what is for one user alone, and with nothing', () => {
    expect(checkPrivateFiles({ directory, files: [file], ...rest })).toEqual([
      { severity: 'ok', message: 'the secrets are for their owner alone' },
    ]);
    expect(checkPrivateFiles({ directory: undefined, files: [], ...rest })).toEqual([]);
  });

  it.each([
    [0o644, 'others may read /data/.calyx/cluster/identity.pem (mode 0644)'],
    [0o660, 'others may read or change /data/.calyx/cluster/identity.pem (mode 0660)'],
  ])('names a file of mode %o and what mends it', (mode, message) => {
    expect(checkPrivateFiles({ directory, files: [{ ...file, mode }], ...rest })).toEqual([
      { severity: 'problem', message, wayOut: 'chmod 600 /data/.calyx/cluster/identity.pem; join anew' },
    ]);
  });

  it('names each of them, in quotes where a shell needs them', () => {
    const open = { ...directory, path: "/it's here/cluster", mode: 0o755 };
    const verdicts = checkPrivateFiles({ directory: open, files: [{ ...file, mode: 0o604 }], ...rest });
    expect(verdicts.map(({ wayOut }) => wayOut)).toEqual([
      "chmod 700 '/it'\\''s here/cluster'; join anew",
      'chmod 600 /data/.calyx/cluster/identity.pem; join anew',
    ]);
  });

  it('names what belongs to somebody else, or is no file', () => {
    const link: FileFacts = { ...file, kind: 'other', mode: 0o777, uid: 8 };
    expect(checkPrivateFiles({ directory, files: [link, { ...file, uid: 0 }], ...rest })).toMatchObject([
      { severity: 'problem', message: expect.stringContaining('neither a file nor a directory') as string },
      { severity: 'problem', message: expect.stringContaining('belongs to user 8') as string },
      { severity: 'problem', wayOut: expect.stringContaining('chown 7 /data') as string },
    ]);
  });

  it('says what could not be looked at', () => {
    const hidden = { path: '/data/.calyx/cluster', why: 'permission denied' };
    expect(checkPrivateFiles({ directory: hidden, files: [], ...rest })).toMatchObject([
      { severity: 'note', message: 'could not look at /data/.calyx/cluster: permission denied' },
    ]);
  });
}); // prettier-ignore
