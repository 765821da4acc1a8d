import { expect, it } from 'vitest';
import { checkNodeDisk } from './node-disk.js';

const disk = { path: '/var', freeBytes: 50 * 2 ** 30, totalBytes: 2 ** 40, kind: 'other' } as const;

it('tells the room, and where that is', () => {
  expect(checkNodeDisk('/var/calyx', disk)).toEqual([
    { severity: 'ok', message: '50.0 GiB free for the blocks of a node in /var/calyx (on the disk of /var)' },
  ]);
  expect(checkNodeDisk('/var', { ...disk, freeBytes: 2 ** 29 })).toMatchObject([
    { severity: 'warning', message: '512.0 MiB free for the blocks of a node in /var' },
  ]);
  expect(checkNodeDisk('/var', { ...disk, kind: 'memory' })).toMatchObject([{ severity: 'ok' }, { severity: 'note' }]);
}); // prettier-ignore
