import { readFileSync, statSync } from 'node:fs';
import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseModelName } from '../../src/core/names.js';
import { StoreLayout } from '../../src/catalog/store-layout.js';
import { calyx, calyxJson } from '../support/cli.js';
import { suiteDirectory } from '../support/directories.js';
import { guestUnavailable } from '../support/guest/availability.js';
import { sha256Of } from '../support/guest/expected-views.js';
import { startGuest, type Guest } from '../support/guest/guest.js';
import {
  mount,
  mountPoint,
  NFS_VERSIONS,
  pythonScript,
  RECOMMENDED,
  startGuestStore,
  type NfsVersion,
} from '../support/guest/mounted-store.js';
import { createNetwork, type GuestNetwork } from '../support/guest/network.js';
import { MODELS } from '../support/models.js';

/** How long `models/` may show the old revision: acdirmax=1, and what the store itself remembers. */
const VISIBLE_WITHIN_MS = 2000;
const WEIGHTS = 'model.safetensors';

const root = suiteDirectory();
const data = join(root, 'data');
const old = join(root, 'old');
const fresh = join(root, 'fresh');

describe.skipIf(guestUnavailable() !== undefined)('a model that changes while it is mounted', () => {
  let network: GuestNetwork;
  let guest: Guest;

  beforeAll(async () => {
    for (const directory of [old, fresh])
      await cp(MODELS.find(({ name }) => name === 'mistral-f32')?.path ?? '', directory, { recursive: true });
    // The same size and the same header, other weights.
    const weights = readFileSync(join(fresh, WEIGHTS));
    weights.subarray(-200_000).forEach((byte, at, all) => (all[at] = byte ^ 1));
    await writeFile(join(fresh, WEIGHTS), weights);
    await Promise.all([writeFile(join(old, 'which.txt'), 'old'), writeFile(join(fresh, 'which.txt'), 'new')]);
    network = await createNetwork({ guests: 1 });
    [guest] = await Promise.all([startGuest(network), startGuestStore(network, data)]);
    await Promise.all(NFS_VERSIONS.map((version) => mount(guest, version, { options: RECOMMENDED })));
  });
  afterAll(() => network.close());

  const add = async (directory: string, name: string): Promise<string> =>
    (await calyxJson('add', directory, '--name', `acme/${name}`, '--data', data))['revision'] as string;

  /** Reads files in the guest before and after `change`, from the same open files and then from the paths. */
  const around = async (paths: readonly string[], change: () => Promise<unknown>): Promise<string[][]> => {
    const [begun, gate] = [`/run/begun-${String(Date.now())}`, `/run/gate-${String(Date.now())}`];
    const reading = guest.run(pythonScript('read_twice.py', begun, gate, ...paths));
    await guest.sh(`until test -e ${begun}; do busybox usleep 20000; done`);
    await change();
    await guest.sh(`touch ${gate}`);
    const { code, stdout, stderr } = await reading;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return JSON.parse(stdout) as string[][];
  };
  const everywhere = (path: string): string[] =>
    NFS_VERSIONS.map((version) => `${mountPoint(version)}/${path}`);
  const all = (value: string): string[] => NFS_VERSIONS.map(() => value);
  const digestOf = (directory: string): string => sha256Of(readFileSync(join(directory, WEIGHTS)));

  it('is read to its end as it was opened, and under its revision for ever', async () => {
    const revision = await add(old, 'moving');
    const open = everywhere(`models/acme/moving/${WEIGHTS}`);
    const pinned = everywhere(`models/acme/moving@${revision}/${WEIGHTS}`);
    const found = await around([...open, ...pinned], () => add(fresh, 'moving'));
    const before = all(digestOf(old));
    expect(found.slice(0, 2)).toEqual([
      [...before, ...before],
      [...before, ...before],
    ]);
    expect(found[2]?.slice(NFS_VERSIONS.length)).toEqual(before);
  });

  it('shows its new revision within 2 s', async () => {
    await add(old, 'followed');
    const paths = everywhere('models/acme/followed/which.txt');
    expect(await guest.sh(`cat ${paths.join(' ')}`)).toBe(all('old').join(''));
    const following = guest.run(pythonScript('follow_content.py', 'new', ...paths)).then((ended) => {
      return { ...ended, at: Date.now() };
    });
    await add(fresh, 'followed');
    const { stdout, at } = await following;
    expect(JSON.parse(stdout)).toEqual(NFS_VERSIONS.map(() => ['old', 'new']));
    const { mtimeMs } = statSync(new StoreLayout(data).ref(parseModelName('acme/followed'), 'main'));
    expect(at - mtimeMs).toBeGreaterThan(0);
    expect(at - mtimeMs).toBeLessThanOrEqual(VISIBLE_WITHIN_MS);
  });

  it('gives an error, and never other bytes, after it was removed under its readers', async () => {
    const revision = await add(old, 'removed');
    const open = everywhere(`models/acme/removed/${WEIGHTS}`);
    const pinned = everywhere(`models/acme/removed@${revision}/${WEIGHTS}`);
    const [before, after, anew] = await around([...open, ...pinned], async () => {
      await calyxJson('remove', 'acme/removed', '--force', '--data', data);
      // Another content under the same name must not be taken for the old one.
      await add(fresh, 'removed');
    });
    expect(before).toEqual([...open, ...pinned].map(() => digestOf(old)));
    expect(after).toEqual([...open, ...pinned].map(() => 'ESTALE'));
    for (const result of anew?.slice(0, open.length) ?? [])
      expect([digestOf(fresh), 'ENOENT', 'ESTALE']).toContain(result);
    for (const result of anew?.slice(open.length) ?? []) expect(['ENOENT', 'ESTALE']).toContain(result);
  });

  it.each(['4.1', '4.2'] as const)(
    'is not removed while a client merely has a file open with NFS %s',
    async (version) => {
      const name = `open-${version}`;
      await add(old, name);
      const [begun, gate] = [`/run/open-${version}`, `/run/close-${version}`];
      const wait = (path: string): string => `until test -e ${path}; do busybox usleep 20000; done`;
      const path = `${mountPoint(version)}/models/acme/${name}/${WEIGHTS}`;
      const opened = guest.sh(`exec 5<${path}; touch ${begun}; ${wait(gate)}; exec 5<&-`);
      await guest.sh(wait(begun));
      const refused = await calyx('remove', `acme/${name}`, '--data', data);
      expect(refused.code).not.toBe(0);
      expect(refused.stderr).toContain(`acme/${name} is in use: ${guest.address} has a file of it open`);
      await guest.sh(`touch ${gate}`);
      await opened;
      // It was closed, and nobody has read.
      await calyxJson('remove', `acme/${name}`, '--data', data);
    },
  );

  it.each(NFS_VERSIONS)(
    'is not removed unasked while a client uses it with NFS %s',
    async (version: NfsVersion) => {
      const name = `used-${version}`;
      await add(old, name);
      const path = `${mountPoint(version)}/models/acme/${name}/${WEIGHTS}`;
      await around([path], async () => {
        const refused = await calyx('remove', `acme/${name}`, '--data', data);
        expect(refused.code).not.toBe(0);
        expect(refused.stderr).toContain(`acme/${name} is in use: ${guest.address}`);
        expect(refused.stderr).toContain('--force');
      });
      expect(await guest.sh(`sha256sum <${path}`)).toBe(`${digestOf(old)}  -\n`);
      await calyxJson('remove', `acme/${name}`, '--force', '--data', data);
      expect((await guest.run(`cat ${mountPoint(version)}/models/acme/${name}/which.txt`)).code).not.toBe(0);
    },
  );
});
