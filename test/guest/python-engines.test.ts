import { join } from 'node:path';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { readGolden } from '../inference/model-files.js';
import { calyxJson } from '../support/cli.js';
import { suiteDirectory } from '../support/directories.js';
import { guestUnavailable } from '../support/guest/availability.js';
import { startGuest, type Guest } from '../support/guest/guest.js';
import { mount, NFS_VERSIONS, startGuestStore, type NfsVersion } from '../support/guest/mounted-store.js';
import { createNetwork, type GuestNetwork } from '../support/guest/network.js';
import { MODELS } from '../support/models.js';
import {
  enginesPython,
  expectAllTensors,
  expectLogits,
  expectPetalsBlock,
  petalsPython,
  readSlice,
  type RunCommand,
  type SliceParts,
} from '../support/python-engines.js';

/** Torch in a guest. */
const MEMORY_MIB = 2048;
// A guest reads python and torch from the host, slowly while others use the machine.
const SLOW = { timeout: 240_000 };
const STUCK_MS = 200_000;
const scratch = suiteDirectory();

const range = (start: number, end: number) => Array.from({ length: end - start }, (_, i) => start + i);

describe.skipIf(guestUnavailable() !== undefined)('engines in Python on a mount', SLOW, () => {
  let network: GuestNetwork;
  let guest: Guest;
  const revisions = new Map<string, string>();
  const mounts = new Map<NfsVersion, string>();

  beforeAll(async () => {
    const data = join(scratch, 'data');
    for (const { name, path } of MODELS) {
      const { revision } = await calyxJson('add', path, '--name', `acme/${name}`, '--data', data);
      revisions.set(name, revision as string);
    }
    network = await createNetwork({ guests: 1 });
    [guest] = await Promise.all([
      startGuest(network, { memoryMib: MEMORY_MIB }),
      startGuestStore(network, data),
    ]);
    for (const version of NFS_VERSIONS) mounts.set(version, await mount(guest, version, { options: 'ro' }));
  });
  afterAll(() => network.close());

  const slice = (version: NfsVersion, model: string, parts: string): string =>
    `${mounts.get(version) ?? ''}/slices/acme/${model}@${revisions.get(model) ?? ''}/${parts}`;

  const inGuest: RunCommand = async (command, args) => {
    const words = [command, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`);
    // What is imported was compiled on the host; in the guest it would be written to memory.
    const ended = await guest.run(`PYTHONDONTWRITEBYTECODE=1 exec ${words.join(' ')}`, {
      timeoutMs: STUCK_MS,
    });
    return { ...ended, signal: null };
  };

  describe.each(MODELS)('slices of $name', ({ name, path, blocks }) => {
    it('have exactly their tensors for the safetensors library, by every version', async (context) => {
      const python = enginesPython(context);
      const { tensors: source } = await readSlice(python, path);
      const wanted: Readonly<Record<string, SliceParts>> = {
        '1-3': { blocks: [1, 2] },
        '0-1+embed': { blocks: [0], embed: true },
        [`${blocks - 2}-${blocks}+head`]: { blocks: range(blocks - 2, blocks), head: true },
        [`0-${blocks}+embed+head`]: { blocks: range(0, blocks), embed: true, head: true },
      };
      const slices = NFS_VERSIONS.flatMap((version) =>
        Object.entries(wanted).map(([text, parts]) => ({ directory: slice(version, name, text), parts })),
      );
      await expectAllTensors(python, slices, source, inGuest);
    });
  });

  const golden = (path: string) =>
    readGolden(path).cases.map(({ prompt, tokens, last_logits: logits }) => ({
      ids: tokens ?? (prompt as number[]),
      logits,
    }));

  it('transformers computes the golden logits from the slice of all blocks', async (context) => {
    const python = enginesPython(context);
    const { name, path, blocks } = MODELS[0] ?? { name: '', path: '', blocks: 0 };
    await expectLogits(python, slice('4.2', name, `0-${blocks}+embed+head`), golden(path), inGuest);
  });

  it('transformers takes the view hub/ for its cache, which it cannot write', async (context) => {
    const python = enginesPython(context);
    const { name, path } = MODELS[0] ?? { name: '', path: '' };
    const settings = [`HF_HUB_CACHE=${mounts.get('4.1') ?? ''}/hub`, 'HF_HUB_OFFLINE=1'];
    const inCache: RunCommand = (command, args) => inGuest('env', [...settings, command, ...args]);
    await expectLogits(python, `acme/${name}`, golden(path), inCache);
  });

  it("Petals' own loader loads a block", async (context) => {
    const python = petalsPython(context);
    const { name, path } = MODELS[0] ?? { name: '', path: '' };
    const { tensors: source } = await readSlice(python, path);
    await expectPetalsBlock(python, slice('4.1', name, '6-9'), source, 7, inGuest);
  });
});
