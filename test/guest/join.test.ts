import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readGolden } from '../inference/model-files.js';
import { calyxJson } from '../support/cli.js';
import { suiteDirectory } from '../support/directories.js';
import { guestUnavailable } from '../support/guest/availability.js';
import { startGuest, type Guest } from '../support/guest/guest.js';
import { GuestUser, makeToken, SECURED_ARGS } from '../support/guest/joined-machine.js';
import { startGuestStore } from '../support/guest/mounted-store.js';
import { createNetwork, type GuestNetwork } from '../support/guest/network.js';
import { TINY } from '../support/models.js';
import { noCurl, noPython } from '../support/outside-tools.js';
import { expectSlice, tensorsOf } from '../support/slices.js';

// Two kernels and an engine start on the cores of one machine.
const SLOW = { timeout: 180_000 };
const scratch = suiteDirectory();
const data = join(scratch, 'data');

describe.skipIf(guestUnavailable() !== undefined)('a machine that joins', SLOW, () => {
  let network: GuestNetwork;
  let guests: readonly Guest[];
  let users: readonly GuestUser[];
  let node: string;

  beforeAll(async () => {
    network = await createNetwork({ guests: 2 });
    const publishAndServe = async (): Promise<void> => {
      await calyxJson('add', TINY, '--name', 'acme/tiny', '--data', data);
      await startGuestStore(network, data, [...SECURED_ARGS, '--nfs-require-client-cert']);
    };
    [guests] = await Promise.all([
      Promise.all([startGuest(network), startGuest(network)]),
      publishAndServe(),
    ]);
    users = await Promise.all(guests.map((guest) => GuestUser.create(guest)));
  });
  afterAll(() => network.close());

  const at = (index: number): { readonly guest: Guest; readonly user: GuestUser } => {
    const [guest, user] = [guests[index], users[index]];
    if (guest === undefined || user === undefined) throw new Error(`there is no guest ${String(index)}`);
    return { guest, user };
  };

  it('does so with the one line that the store printed, and keeps it to itself', async () => {
    const lines = await Promise.all([
      makeToken(data, '--role', 'node', '--models', 'acme/*', '--name', 'worker'),
      makeToken(data, '--name', 'asker'),
    ]);
    const said = await Promise.all(
      lines.map(async ({ line }, index) => {
        expect(line).toMatch(/^calyx join 'calyx:\/\/10\.97\.0\.1:7070\/#calyx1\.[\w.-]+'$/);
        const { user } = at(index);
        expect(await user.sh('ls -A ~')).toBe('');
        return user.sh(`${line}\nstat -c '%a %U' ~/.config/calyx/cluster.json`);
      }),
    );
    const joined = (as: string): string => `joined the cluster at 10.97.0.1:7070\nas ${as}\n600 root\n`;
    expect(said).toEqual([joined('worker: role node, models acme/*'), joined('asker: role read, models *')]);
  });

  it.skipIf(noPython !== undefined)('then fetches its blocks, and need not be told from where', async () => {
    const { guest, user } = at(0);
    const slice = join(guest.directory, 'slice');
    const fetched = JSON.parse(
      await user.sh(`calyx fetch acme/tiny --blocks 4:8 --into ${slice} --json`),
    ) as object;
    expect(fetched).toMatchObject({ retries: 0 });
    await expectSlice(slice, await tensorsOf(TINY), { blocks: [4, 5, 6, 7] });
  });

  it('serves blocks as a node, which another one that joined by a line of its own uses', async () => {
    const { guest, user } = at(0);
    const { url } = await user.startNode(
      'joined',
      `--model acme/tiny --blocks 0:12 --listen ${guest.address}:0`,
    );
    node = String(url);
    expect(url).toMatch(/^https:\/\/10\.97\.0\.[23]:\d+$/);

    const [{ prompt, text, greedy } = { prompt: '', text: '', greedy: [] }] = readGolden(TINY).cases.slice(
      3,
      4,
    );
    const said = await at(1).user.sh(
      `calyx run acme/tiny '${String(prompt)}' --max-tokens ${String(greedy.length)} --json`,
    );
    expect(JSON.parse(said)).toMatchObject({
      text,
      tokens: greedy,
      route: [{ name: 'joined', url, blocks: '0:12' }],
    });
  });

  it.skipIf(noCurl !== undefined)('answers nobody who has not joined, as the store does not', async () => {
    const statusOf = async (url: string): Promise<string> => {
      const args = ['--silent', '--insecure', '--output', '/dev/null', '--write-out', '%{http_code}', url];
      return (await network.start('curl', args).ended).stdout;
    };
    for (const url of [node, 'https://10.97.0.1:7070'])
      expect([await statusOf(`${url}/healthz`), await statusOf(`${url}/metrics`)]).toEqual(['200', '401']);
  });
});
