import { open } from 'node:fs/promises';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { calyx } from '../../../test/support/cli.js';
import { TINY } from '../../../test/support/models.js';
import { testDirectory } from '../../../test/support/directories.js';
import { expectError } from '../../../test/support/expect-error.js';
import { makeDirectories } from './make-directories.js';

test('makes what is missing, whoever else does so at the same time, and syncs each parent', async () => {
  const root = testDirectory();
  const handle = await open(root, 'r');
  const synced = vi.spyOn(Object.getPrototypeOf(handle) as typeof handle, 'sync');
  await handle.close();
  await makeDirectories(join(root, 'a/b/c'));
  expect(synced).toHaveBeenCalledTimes(3);
  synced.mockRestore();
  await Promise.all([1, 2, 3].map(() => makeDirectories(join(root, 'd/e/f'))));
  expect(statSync(join(root, 'd/e/f')).isDirectory()).toBe(true);
});

test('names what stands in the way', async () => {
  const root = testDirectory();
  writeFileSync(join(root, 'file'), '');
  await expectError(() => makeDirectories(join(root, 'file')), 'unreadable', join(root, 'file'));
  await expectError(() => makeDirectories(join(root, 'file/a/b')), 'not-found', join(root, 'file'));
});

test.skipIf(process.platform !== 'linux')(
  'a data directory under /proc is refused at once',
  async () => {
    const ended = await calyx('add', TINY, '--name', 'org/tiny', '--data', '/proc/calyx-data');
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('cannot create /proc/calyx-data');
  },
  20_000,
);
