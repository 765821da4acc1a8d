import { copyFileSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { calyx, calyxJson } from '../support/cli.js';
import { ROOT, suiteDirectory, testDirectory } from '../support/directories.js';
import { startStore, type RunningStore } from '../support/running-store.js';

const FIXTURE = join(ROOT, 'test/fixtures/models/mistral-f32');
const directory = suiteDirectory();
const data = join(directory, 'store');
let store: RunningStore;

beforeAll(async () => {
  const copied = join(directory, 'model');
  cpSync(FIXTURE, copied, { recursive: true });
  // Sorts behind the weights, has the same bytes, and is named by nothing.
  copyFileSync(join(copied, 'model.safetensors'), join(copied, 'zz-copy.safetensors'));
  writeFileSync(
    join(copied, 'model.safetensors.index.json'),
    JSON.stringify({ metadata: {}, weight_map: weightMap(join(copied, 'model.safetensors')) }),
  );
  store = await startStore(data);
  await calyxJson('add', copied, '--name', 'acme/twice', '--data', data);
  await calyxJson('add', FIXTURE, '--name', 'acme/once', '--data', data);
});
afterAll(() => store.stop());

function weightMap(file: string): Record<string, string> {
  const bytes = readFileSync(file);
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE()))) as object;
  return Object.fromEntries(
    Object.keys(header).flatMap((name) => (name === '__metadata__' ? [] : [[name, 'model.safetensors']])),
  );
}

function fetchBlocks(model: string, into: string, ...more: string[]): Promise<Record<string, unknown>> {
  return calyxJson('fetch', model, '--blocks', '0:2', '--into', into, '--store', store.url, ...more);
}

describe('calyx fetch, oddly', () => {
  it('a copy of a shard beside it, which nothing names, changes nothing', async () => {
    const into = testDirectory();
    const twice = await fetchBlocks('acme/twice', join(into, 'twice'));
    const once = await fetchBlocks('acme/once', join(into, 'once'));
    expect(twice['bytesFetched']).toBe(once['bytesFetched']);
    for (const part of ['block-00000.safetensors', 'block-00001.safetensors']) {
      expect(readFileSync(join(into, 'twice', part)).equals(readFileSync(join(into, 'once', part)))).toBe(
        true,
      );
    }
  });

  it('does not follow a link in the place of a part under way', async () => {
    const root = testDirectory();
    const into = join(root, 'slice');
    const victim = join(root, 'victim');
    writeFileSync(victim, 'precious');
    await fetchBlocks('acme/once', into);
    mkdirSync(join(into, '.calyx/partial'));
    symlinkSync(victim, join(into, '.calyx/partial/block-00002.safetensors'));
    const { code } = await calyx(
      'fetch',
      'acme/once',
      '--blocks',
      '2:3',
      '--into',
      into,
      '--store',
      store.url,
    );
    expect(code).toBe(1);
    expect(readFileSync(victim, 'utf8')).toBe('precious');
  });

  it('refuses to write into the data directory of a store', async () => {
    const { code, stderr } = await calyx(
      'fetch',
      'acme/once',
      '--blocks',
      '0:1',
      '--into',
      join(data, 'in/it'),
      '--store',
      store.url,
    );
    expect(code).toBe(1);
    expect(stderr).toContain('the data directory of a store');
  });

  it('what was synced is trusted in every boot, what was not only in its own', async () => {
    const into = testDirectory();
    const verified = (name: string): string => join(into, name, '.calyx/verified.json');
    for (const name of ['synced', 'unsynced']) {
      await fetchBlocks('acme/once', join(into, name), ...(name === 'synced' ? ['--sync'] : []));
      // As if the machine had been started again since.
      const ids = /"bootId":"[0-9a-f-]{36}"/g;
      const text = readFileSync(verified(name), 'utf8').replaceAll(
        ids,
        '"bootId":"00000000-0000-0000-0000-000000000000"',
      );
      writeFileSync(verified(name), text);
    }
    expect(readFileSync(verified('synced'), 'utf8')).toContain('"bootId":"synced"');
    expect((await fetchBlocks('acme/once', join(into, 'unsynced')))['bytesFetched']).toBe(0);
    // It was hashed again and is trusted in this boot.
    expect(readFileSync(verified('unsynced'), 'utf8')).not.toContain('00000000-0000');
  });
});
