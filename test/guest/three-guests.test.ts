import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readGolden } from '../inference/model-files.js';
import { calyxJson } from '../support/cli.js';
import { suiteDirectory } from '../support/directories.js';
import { guestUnavailable } from '../support/guest/availability.js';
import { startGuest, type Guest } from '../support/guest/guest.js';
import {
  bytesWritten,
  runOnHost,
  startMountedNode,
  STORE_ARGS,
  storeMetric,
} from '../support/guest/mounted-node.js';
import { mount, NFS_VERSIONS, startGuestStore } from '../support/guest/mounted-store.js';
import { createNetwork, type GuestNetwork } from '../support/guest/network.js';
import { TINY } from '../support/models.js';

const THIRDS = ['0-4+embed', '4-8', '8-12+head'];
/** Logs and the kernel's own little files; a third of the weights has more than three times as much. */
const NO_WEIGHTS_BYTES = 1024 * 1024;
// Three kernels and three engines start on the cores of one machine.
const SLOW = { timeout: 240_000 };
const scratch = suiteDirectory();

describe.skipIf(guestUnavailable() !== undefined)('three guests with one store', SLOW, () => {
  let network: GuestNetwork;
  let guests: Guest[];
  let revision: string;

  beforeAll(async () => {
    const data = join(scratch, 'data');
    revision = (await calyxJson('add', TINY, '--name', 'acme/tiny', '--data', data))['revision'] as string;
    network = await createNetwork({ guests: 3 });
    const started = Promise.all(THIRDS.map(() => startGuest(network)));
    await startGuestStore(network, data, STORE_ARGS);
    guests = await started;
  });
  afterAll(() => network.close());

  it('run a third of the blocks each from their mounts: the golden text, and no weights on a disk', async () => {
    // Each by another version of NFS.
    const mounts = await Promise.all(
      guests.map((guest, index) => mount(guest, NFS_VERSIONS[index] ?? '4.2', { options: 'ro' })),
    );
    const before = await Promise.all(guests.map(bytesWritten));
    const events = await Promise.all(
      guests.map((guest, index) => {
        const slice = `${mounts[index] ?? ''}/slices/acme/tiny@${revision}/${THIRDS[index] ?? ''}`;
        return startMountedNode(guest, `guest${String(index)}`, slice);
      }),
    );
    for (const { prompt, chat, text, greedy } of readGolden(TINY).cases.slice(2, 4)) {
      const more = ['--max-tokens', String(greedy.length), ...(chat === true ? [] : ['--raw'])];
      const result = await runOnHost(network, 'acme/tiny', String(prompt), ...more);
      expect(result).toMatchObject({
        text,
        tokens: greedy,
        route: [
          { name: 'guest0', blocks: '0:4' },
          { name: 'guest1', blocks: '4:8' },
          { name: 'guest2', blocks: '8:12' },
        ],
      });
    }

    const partBytes = events.map(([checking]) => Number(checking?.['bytes']));
    const written = (await Promise.all(guests.map(bytesWritten))).map((now, i) => now - (before[i] ?? 0));
    const sent = await storeMetric(network, 'calyx_store_nfs_read_bytes');
    for (const bytes of partBytes) expect(bytes).toBeGreaterThan(3 * NO_WEIGHTS_BYTES);
    for (const bytes of written) expect(bytes).toBeLessThan(NO_WEIGHTS_BYTES);
    // Every byte of the blocks once, though it is both compared with the manifest and loaded; headers are no bytes of blobs.
    const needed = partBytes.reduce((sum, bytes) => sum + bytes, 0);
    expect(sent / needed).toBeGreaterThan(0.98);
    expect(sent / needed).toBeLessThan(1.05);
  });

  it('would tell if something were written', async () => {
    const [guest] = guests;
    if (guest === undefined) throw new Error('there is no guest');
    const before = await bytesWritten(guest);
    await guest.sh('dd if=/dev/zero of=/var/weights bs=1M count=2 2>/dev/null');
    await guest.sh('dd if=/dev/zero of=/dev/shm/weights bs=1M count=2 2>/dev/null');
    expect((await bytesWritten(guest)) - before).toBeGreaterThanOrEqual(4 * 1024 * 1024);
  });
});
