import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readGolden } from '../inference/model-files.js';
import { calyxJson } from '../support/cli.js';
import { suiteDirectory } from '../support/directories.js';
import { MODELS } from '../support/models.js';
import {
  ENGINES,
  enginesPython,
  expectLogits,
  expectPetalsBlock,
  expectTensors,
  findPython,
  petalsPython,
  readSlice,
} from '../support/python-engines.js';
import { startStore, type RunningStore } from '../support/running-store.js';

// Other engines read slices that `calyx fetch` wrote to a local disk. Importing torch takes seconds on a busy machine.
const SLOW = { timeout: 180_000 };

const scratch = suiteDirectory();
let store: RunningStore;

beforeAll(async () => {
  const data = join(scratch, 'data');
  for (const { name, path } of MODELS) await calyxJson('add', path, '--name', `org/${name}`, '--data', data);
  store = await startStore(data);
  return async () => {
    await store.stop();
  };
});

const range = (start: number, end: number) => Array.from({ length: end - start }, (_, i) => start + i);

/** Fetches a slice into a directory of its own. */
async function fetchSlice(name: string, blocks: string, ...parts: string[]): Promise<string> {
  const into = join(scratch, [name, blocks.replace(':', '-'), ...parts].join(''));
  const flags = parts.map((part) => part.replace('+', '--'));
  await calyxJson('fetch', `org/${name}`, '--store', store.url, '--into', into, '--blocks', blocks, ...flags);
  return into;
}

describe.each(MODELS)('a slice of $name', SLOW, ({ name, path, blocks }) => {
  it('has exactly its tensors for the safetensors library', async (context) => {
    const python = enginesPython(context);
    const { tensors: source } = await readSlice(python, path);
    const middle = await fetchSlice(name, '1:3');
    await expectTensors(python, middle, source, { blocks: [1, 2] });
    const first = await fetchSlice(name, '0:1', '+embed');
    await expectTensors(python, first, source, { blocks: [0], embed: true });
    const last = await fetchSlice(name, `${blocks - 2}:${blocks}`, '+head');
    await expectTensors(python, last, source, { blocks: range(blocks - 2, blocks), head: true });
    const whole = await fetchSlice(name, `0:${blocks}`, '+embed', '+head');
    await expectTensors(python, whole, source, { blocks: range(0, blocks), embed: true, head: true });
  });

  it('with all blocks gives the golden logits in transformers', async (context) => {
    const python = enginesPython(context);
    const directory = await fetchSlice(name, `0:${blocks}`, '+embed', '+head');
    const cases = readGolden(path).cases.map(({ prompt, tokens, last_logits: logits }) => ({
      ids: tokens ?? (prompt as number[]),
      logits,
    }));
    await expectLogits(python, directory, cases);
  });
});

// Of the families that Petals runs, the fixtures have Llama.
it.for([
  { name: 'tiny-calyx', block: 0, slice: '0:1' },
  { name: 'tiny-calyx', block: 7, slice: '6:9' },
  { name: 'llama3-rope', block: 5, slice: '5:6' },
])('Petals loads a block of $name from the slice $slice', SLOW, async ({ name, block, slice }, context) => {
  const python = petalsPython(context);
  const path = MODELS.find((model) => model.name === name)?.path ?? '';
  const { tensors: source } = await readSlice(python, path);
  await expectPetalsBlock(python, await fetchSlice(name, slice), source, block);
});

it('transformers does not take a slice without all blocks for a model', SLOW, async (context) => {
  const python = enginesPython(context);
  const directory = await fetchSlice('tiny-calyx', '0:11', '+embed', '+head');
  await expect(expectLogits(python, directory, [{ ids: [0], logits: [] }])).rejects.toThrow(
    /is not the whole model.*missing_keys.*model\.layers\.11\./,
  );
});

describe('an interpreter that cannot be used', () => {
  it('is told with what to do', () => {
    const told = (value?: string) => findPython(ENGINES, { CALYX_ENGINES_PYTHON: value });
    const remedy = 'run scripts/engines-venv.sh DIRECTORY';
    for (const value of [undefined, '', '/nowhere/python', '/bin/false']) {
      const { missing = '' } = told(value) as { missing?: string };
      expect(missing).toContain('CALYX_ENGINES_PYTHON');
      expect(missing).toContain(remedy);
    }
  });
});
