import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { calyxJson } from '../support/cli.js';
import { suiteDirectory } from '../support/directories.js';
import { guestUnavailable } from '../support/guest/availability.js';
import { startGuest, type Guest } from '../support/guest/guest.js';
import { mount, NFS_VERSIONS, pythonScript, startGuestStore } from '../support/guest/mounted-store.js';
import { createNetwork, type GuestNetwork } from '../support/guest/network.js';
import { MODELS } from '../support/models.js';

const root = suiteDirectory();
const QWEN3 = MODELS.find(({ name }) => name === 'qwen3')?.path ?? '';

describe.skipIf(guestUnavailable() !== undefined)('a store that is mounted read-write', () => {
  let network: GuestNetwork;
  let guest: Guest;

  beforeAll(async () => {
    const data = join(root, 'data');
    await calyxJson('add', QWEN3, '--name', 'acme/qwen3', '--data', data);
    network = await createNetwork({ guests: 1 });
    [guest] = await Promise.all([startGuest(network), startGuestStore(network, data)]);
    await Promise.all(NFS_VERSIONS.map((version) => mount(guest, version)));
  });
  afterAll(() => network.close());

  describe.each(NFS_VERSIONS)('with NFS %s', (version) => {
    it.each([
      ['root', 0],
      ['a user', 1000],
    ])('refuses every change by %s as a read-only file system', async (_, uid) => {
      const directory = `/mnt/${version}/models/acme/qwen3`;
      const before = await guest.sh(`ls -l ${directory}; sha256sum ${directory}/config.json`);
      const found = await guest.sh(pythonScript('refused_changes.py', directory, 'config.json', String(uid)));
      const results = JSON.parse(found) as Record<string, string>;
      const { setxattr, ...others } = results;
      expect(Object.keys(others).length).toBeGreaterThan(15);
      expect(others).toEqual(Object.fromEntries(Object.keys(others).map((change) => [change, 'EROFS'])));
      // Versions before 4.2 have no extended attributes of users.
      expect(['EROFS', 'ENOTSUP']).toContain(setxattr);
      expect(await guest.sh(`ls -l ${directory}; sha256sum ${directory}/config.json`)).toBe(before);
    });

    it('refuses changes in its own directories and in slices', async () => {
      const script = [
        `cd /mnt/${version}`,
        'for path in new models/new models/acme/new hub/new slices/acme/qwen3/new slices/acme/qwen3/0-1/new; do',
        '  mkdir $path || rm $path/config.json || echo refused',
        'done',
      ].join('\n');
      const { stdout, stderr } = await guest.run(script);
      expect(stdout).toBe('refused\n'.repeat(6));
      expect(stderr.match(/mkdir: .*Read-only file system/g)).toHaveLength(6);
    });
  });
});
