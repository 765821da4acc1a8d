import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { calyxJson } from '../support/cli.js';
import { suiteDirectory } from '../support/directories.js';
import { guestUnavailable } from '../support/guest/availability.js';
import { startGuest, type Guest } from '../support/guest/guest.js';
import {
  mount,
  mountCommand,
  NFS_VERSIONS,
  startGuestStore,
  type GuestStore,
  type NfsVersion,
} from '../support/guest/mounted-store.js';
import { createNetwork, type GuestNetwork } from '../support/guest/network.js';
import { MODELS } from '../support/models.js';

/** A mount that is refused must say so, not try again for minutes. */
const REFUSED_WITHIN_MS = 5000;

const root = suiteDirectory();
const data = join(root, 'data');

describe.skipIf(guestUnavailable() !== undefined)('who may mount', () => {
  let network: GuestNetwork;
  let guest: Guest;
  let store: GuestStore | undefined;

  beforeAll(async () => {
    for (const { name, path } of MODELS.slice(2)) {
      const org = name === 'qwen3' ? 'acme' : 'other';
      await calyxJson('add', path, '--name', `${org}/${name}`, '--data', data);
    }
    network = await createNetwork({ guests: 1 });
    guest = await startGuest(network);
  });
  afterAll(() => network.close());
  // Another mount of the same server would share its connection, and with that its port.
  afterEach(() => guest.sh('umount -a -t nfs,nfs4'));

  const serve = async (...args: string[]): Promise<void> => {
    await store?.kill();
    store = await startGuestStore(network, data, args);
  };
  const refused = async (version: NfsVersion, options = 'ro'): Promise<void> => {
    const begun = Date.now();
    const { code, stderr } = await guest.run(mountCommand(version, { options }), { timeoutMs: 20_000 });
    expect({ code, stderr }).toEqual({
      code: 32,
      stderr: expect.stringMatching(/access denied|Permission denied|Operation not permitted/) as string,
    });
    expect(Date.now() - begun).toBeLessThan(REFUSED_WITHIN_MS);
  };

  describe('by address', () => {
    beforeAll(() => serve('--allow', '10.97.0.200/29', '--allow', '10.1.0.0/16=*/*'));
    it.each(NFS_VERSIONS)('is told at once if it may not, with NFS %s', (version) => refused(version));
  });

  describe('by address, and for some models', () => {
    beforeAll(() => serve('--allow', '10.97.0.0/24=acme/*', '--allow', '10.1.0.0/16'));
    it.each(NFS_VERSIONS)('sees only these, with NFS %s', async (version) => {
      const at = await mount(guest, version, { options: 'ro' });
      expect(await guest.sh(`cd ${at}; ls models hub slices models/acme | grep -v @`)).toBe(
        'hub:\nmodels--acme--qwen3\n\nmodels:\nacme\n\nmodels/acme:\nqwen3\n\nslices:\nacme\n',
      );
      const { code, stderr } = await guest.run(`stat ${at}/models/other ${at}/hub/models--other--qwen2-tied`);
      expect(code).toBe(1);
      expect(stderr.match(/No such file/g)).toHaveLength(2);
    });
  });

  describe('from privileged ports', () => {
    beforeAll(() => serve('--allow', '10.97.0.0/24', '--privileged-ports'));
    it.each(NFS_VERSIONS)('is refused if it uses others, with NFS %s', (version) =>
      refused(version, 'ro,noresvport'),
    );
    it.each(NFS_VERSIONS)('mounts as root does, with NFS %s', async (version) => {
      const at = await mount(guest, version, { options: 'ro' });
      expect((await guest.sh(`ls ${at}/models`)).split('\n')).toContain('acme');
    });
  });
});
