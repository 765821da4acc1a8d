import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fixture, readGolden } from '../inference/model-files.js';
import { calyxJson } from '../support/cli.js';
import { suiteDirectory } from '../support/directories.js';
import { guestUnavailable } from '../support/guest/availability.js';
import { startGuest, type Guest } from '../support/guest/guest.js';
import { runOnHost, startMountedNode, STORE_ARGS } from '../support/guest/mounted-node.js';
import { mount, startGuestStore } from '../support/guest/mounted-store.js';
import { createNetwork, type GuestNetwork } from '../support/guest/network.js';
import { TINY } from '../support/models.js';

const TIED = fixture('qwen2-tied');
// A guest reads node and the runtime from the host, slowly while others use the machine.
const SLOW = { timeout: 180_000 };
const scratch = suiteDirectory();

describe.skipIf(guestUnavailable() !== undefined)('the embedded engine in a guest', SLOW, () => {
  let network: GuestNetwork;
  let guest: Guest;
  const revisions = new Map<string, string>();

  beforeAll(async () => {
    const data = join(scratch, 'data');
    for (const [name, path] of Object.entries({ tiny: TINY, tied: TIED })) {
      const { revision } = await calyxJson('add', path, '--name', `acme/${name}`, '--data', data);
      revisions.set(name, revision as string);
    }
    network = await createNetwork({ guests: 1 });
    [guest] = await Promise.all([startGuest(network), startGuestStore(network, data, STORE_ARGS)]);
  });
  afterAll(() => network.close());

  /** The path of a slice below a mount point. */
  const slice = (at: string, model: string, parts: string): string =>
    `${at}/slices/acme/${model}@${revisions.get(model) ?? ''}/${parts}`;

  it('runs all blocks of a model from one slice of a mount: the golden text', async () => {
    const at = await mount(guest, '4.1');
    const events = await startMountedNode(guest, 'whole', slice(at, 'tiny', '0-12+embed+head'));
    expect(events.map(({ event }) => event)).toEqual(['checking', 'listening']);
    expect(events[1]).toMatchObject({
      model: 'acme/tiny',
      revision: revisions.get('tiny'),
      blocks: '0:12',
    });
    for (const { prompt, chat, text, greedy } of readGolden(TINY).cases.slice(2, 4)) {
      const more = ['--max-tokens', String(greedy.length), ...(chat === true ? [] : ['--raw'])];
      const result = await runOnHost(network, 'acme/tiny', String(prompt), ...more);
      expect(result).toMatchObject({ text, tokens: greedy, route: [{ name: 'whole', blocks: '0:12' }] });
    }
  });

  it('runs a model whose head is its embeddings through two slices: the golden tokens', async () => {
    const at = await mount(guest, '4.2');
    await Promise.all([
      startMountedNode(guest, 'first', slice(at, 'tied', '0-2+embed')),
      startMountedNode(guest, 'second', slice(at, 'tied', '2-5+head')),
    ]);
    for (const { prompt, greedy } of readGolden(TIED).cases) {
      const ids = (prompt as number[]).join(',');
      const more = ['--tokens', ids, '--max-tokens', String(greedy.length)];
      const tokens = (await runOnHost(network, 'acme/tied', ...more))['tokens'] as number[];
      // The golden ids go on past a stop id, where a run ends.
      expect(greedy.slice(0, tokens.length)).toEqual(tokens);
      expect([greedy.length, greedy.indexOf(1) + 1]).toContain(tokens.length);
    }
  });

  it('tells of a range that the model does not have', async () => {
    const missing = slice(await mount(guest, '3'), 'tiny', '4-13');
    await expect(startMountedNode(guest, 'none', missing)).rejects.toThrow(`${missing} is no slice`);
  });
});
