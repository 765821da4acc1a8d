import { describe, expect, it } from 'vitest';
import type { FileFacts } from '../facts/file-facts.js';
import { checkStoreDisk, type StoreDisk } from './store-disk.js';

const GIB = 2 ** 30;
const root: FileFacts = { path: '/data', kind: 'directory', mode: 0o755, uid: 0, size: 0 };
const disk = { path: '/data', freeBytes: 100 * GIB, totalBytes: 500 * GIB, kind: 'other' } as const;
const facts: StoreDisk = {
  root: '/data',
  disk,
  directories: [root],
  largest: { model: 'acme/large', bytes: 40 * GIB },
};

describe('checkStoreDisk', () => {
  it('is content with room for another revision', () => {
    expect(checkStoreDisk(facts)).toEqual([{ severity: 'ok', message: '100.0 GiB free in /data' }]);
  });

  it.each([
    [39 * GIB, 'warning', 'less than acme/large takes (40.0 GiB)'],
    [2 ** 20, 'problem', 'only 1.00 MiB free'],
  ])('%d bytes free is a %s', (freeBytes, severity, message) => {
    expect(checkStoreDisk({ ...facts, disk: { ...disk, freeBytes } })).toMatchObject([
      { severity, message: expect.stringContaining(message) as string },
    ]);
  });

  it.each(['nfs', 'smb', 'memory'] as const)('warns of a data directory on %s', (kind) => {
    expect(checkStoreDisk({ ...facts, disk: { ...disk, kind } })).toMatchObject([
      { severity: 'ok' },
      { severity: 'warning' },
    ]);
  });

  it('names a directory that everybody may change, also where names stay their owners\u2019 (sticky)', () => {
    const open = { ...root, mode: 0o1777 };
    expect(checkStoreDisk({ ...facts, directories: [open] })[1]).toMatchObject({
      severity: 'problem',
      message: 'everybody on this machine may change /data (mode 1777)',
      wayOut: expect.stringContaining('chmod o-w /data; then calyx verify') as string,
    });
  });
});
