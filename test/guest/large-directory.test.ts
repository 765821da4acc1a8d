import { cp, mkdir, writeFile } from 'node:fs/promises';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { calyxJson } from '../support/cli.js';
import { guestUnavailable } from '../support/guest/availability.js';
import { startGuest, type Guest } from '../support/guest/guest.js';
import {
  mount,
  mountPoint,
  NFS_VERSIONS,
  pythonScript,
  startGuestStore,
  suiteMemoryDirectory,
  type GuestStore,
} from '../support/guest/mounted-store.js';
import { createNetwork, type GuestNetwork } from '../support/guest/network.js';
import { MODELS } from '../support/models.js';

const FILES = 10_000;
const MIB = 1024 * 1024;

const root = suiteMemoryDirectory(256 * MIB);
const source = join(root, 'source');
const data = join(root, 'data');

describe.skipIf(guestUnavailable() !== undefined)('a mounted directory of 10,000 files', () => {
  let network: GuestNetwork;
  let guest: Guest;
  let store: GuestStore;
  let names: string[];

  beforeAll(async () => {
    await mkdir(source);
    await cp(MODELS.find(({ name }) => name === 'qwen3')?.path ?? '', source, { recursive: true });
    for (let index = 0; index < FILES; index += 1)
      await writeFile(join(source, `note ${String(index)}.txt`), `${String(index)}\n`);
    names = readdirSync(source).sort();
    await calyxJson('add', source, '--name', 'acme/many', '--data', data, '--link');
    network = await createNetwork({ guests: 1 });
    [guest, store] = await Promise.all([startGuest(network), startGuestStore(network, data)]);
    await Promise.all(NFS_VERSIONS.map((version) => mount(guest, version, { options: 'ro' })));
  }, 120_000);
  afterAll(() => network.close());

  it.each(NFS_VERSIONS)('is listed as a whole, with attributes, with NFS %s', async (version) => {
    const at = `${mountPoint(version)}/models/acme/many`;
    const listed = (await guest.sh(`ls ${at}`)).trimEnd().split('\n');
    expect(listed.sort()).toEqual(names);
    const long = (await guest.sh(`ls -l ${at}`)).trimEnd().split('\n').slice(1);
    const pattern = /^-r--r--r-- 1 root root +(\d+) .* note (\d+)\.txt$/;
    const notes = long.flatMap((line) => (line.includes(' note ') ? [pattern.exec(line)?.slice(1, 3)] : []));
    expect(notes).toHaveLength(FILES);
    for (const [size, index = ''] of notes.map((note) => note ?? []))
      expect(Number(size), `note ${index}`).toBe(index.length + 1);
    expect(long).toHaveLength(names.length);
  });

  it('is listed as a whole although the store dies in the middle of it', async () => {
    const directories = NFS_VERSIONS.map(
      (version) => `${mountPoint(version)}/hub/models--acme--many/snapshots/*`,
    );
    const gate = '/run/listing-gate';
    const script = pythonScript('list_slowly.py', '/run/listing-begun', gate);
    const listing = guest.run(`${script} ${directories.join(' ')}`);
    await guest.sh('until test -e /run/listing-begun; do busybox usleep 20000; done');
    await store.kill();
    store = await startGuestStore(network, data);
    // So that it does not go on with what it has read ahead.
    await guest.sh(`echo 1 >/proc/sys/vm/drop_caches; touch ${gate}`);
    const { code, stdout, stderr } = await listing;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const found of JSON.parse(stdout) as string[][]) expect(found.sort()).toEqual(names);
  });
});
