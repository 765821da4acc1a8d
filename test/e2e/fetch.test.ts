import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { calyx, calyxJson } from '../support/cli.js';
import { MODELS, TINY } from '../support/models.js';
import { noPython, type PythonTensor } from '../support/outside-tools.js';
import { egress, startStore, type RunningStore } from '../support/running-store.js';
import { suiteDirectory } from '../support/directories.js';
import { apparentBytes, expectSlice, expectedTensors, snapshot, tensorsOf } from '../support/slices.js';

const scratch = suiteDirectory();
let store: RunningStore;
const sources = new Map<string, Record<string, PythonTensor>>();
const revisions = new Map<string, string>();

beforeAll(async () => {
  const data = join(scratch, 'data');
  for (const { name, path } of MODELS) {
    const added = await calyxJson('add', path, '--name', `org/${name}`, '--data', data);
    revisions.set(name, String(added['revision']));
    if (noPython === undefined) sources.set(name, await tensorsOf(path));
  }
  store = await startStore(data);
  return async () => {
    await store.stop();
  };
});

const fetchJson = (into: string, model: string, ...args: string[]) =>
  calyxJson('fetch', `org/${model}`, '--store', store.url, '--into', into, ...args);

const range = (start: number, end: number) => Array.from({ length: end - start }, (_, i) => start + i);

describe.skipIf(noPython)('a slice', () => {
  it.each(
    MODELS.flatMap(({ name, blocks }) => [
      { name, from: 0, to: 2, embed: true, head: false },
      { name, from: blocks - 3, to: blocks, embed: false, head: true },
      { name, from: 0, to: blocks, embed: true, head: true },
    ]),
  )('of $name, $from:$to, embed $embed, head $head', async ({ name, from, to, embed, head }) => {
    const into = join(scratch, `slice-${name}-${from}-${to}-${embed}-${head}`);
    const before = await egress(store.url);
    const flags = [...(embed ? ['--embed'] : []), ...(head ? ['--head'] : [])];
    const result = await fetchJson(into, name, '--blocks', `${from}:${to}`, ...flags);
    expect((await egress(store.url)) - before).toBe(result['bytesFetched']);
    await expectSlice(into, sources.get(name) ?? {}, { blocks: range(from, to), embed, head });
    // It is the very slice that the store shows.
    const view = `/tree/slices/org/${name}/${from}-${to}${embed ? '+embed' : ''}${head ? '+head' : ''}`;
    const { entries } = (await (await fetch(store.url + view)).json()) as { entries: string[] };
    expect((await readdir(into)).filter((entry) => entry !== '.calyx').sort()).toEqual(entries.sort());
    for (const entry of entries) {
      const shown = Buffer.from(await (await fetch(`${store.url}${view}/${entry}`)).arrayBuffer());
      expect(shown.equals(await readFile(join(into, entry))), entry).toBe(true);
    }
    // Exactly the bytes that are needed were moved, and none twice.
    expect(result['bytesFetched']).toBeLessThanOrEqual(Number(result['bytesNeeded']));
    const files = await Promise.all(entries.map((entry) => readFile(join(into, entry))));
    expect(result['bytesOnDisk']).toBe(files.reduce((sum, file) => sum + file.byteLength, 0));
  });

  it('names the fields that scripts rely on, and moves nothing the second time', async () => {
    const into = join(scratch, 'fields');
    const before = await egress(store.url);
    const first = await fetchJson(into, 'tiny-calyx', '--blocks', '2:5');
    expect(first).toEqual({
      model: 'org/tiny-calyx',
      revision: revisions.get('tiny-calyx'),
      blocks: '2:5',
      embed: false,
      head: false,
      bytesNeeded: first['bytesFetched'],
      bytesFetched: (await egress(store.url)) - before,
      bytesOnDisk: expect.any(Number) as number,
      budgetNeeded: expect.any(Number) as number,
      manifestBytes: expect.any(Number) as number,
      chunks: expect.any(Number) as number,
      retries: 0,
      seconds: expect.any(Number) as number,
      parts: [2, 3, 4],
      dryRun: false,
    });
    const middle = await egress(store.url);
    const second = await fetchJson(into, 'tiny-calyx', '--blocks', '2:5');
    expect(second).toMatchObject({ bytesFetched: 0, chunks: 0, bytesNeeded: first['bytesNeeded'] });
    expect((await egress(store.url)) - middle).toBe(0);
  });

  it('grows and shrinks by blocks, moving only what is new', async () => {
    const into = join(scratch, 'grows');
    const source = sources.get('tiny-calyx') ?? {};
    await fetchJson(into, 'tiny-calyx', '--blocks', '0:2', '--embed');
    const inode = (await snapshot(into))['block-00001.safetensors'];
    const before = await egress(store.url);
    const grown = await fetchJson(into, 'tiny-calyx', '--blocks', '1:4');
    expect(grown['parts']).toEqual(['embed', 0, 1, 2, 3]);
    expect((await egress(store.url)) - before).toBe(grown['bytesFetched']);
    const one = (await fetchJson(join(scratch, 'one'), 'tiny-calyx', '--blocks', '2:4'))['bytesNeeded'];
    expect(Number(grown['bytesFetched'])).toBeLessThan(Number(one));
    await expectSlice(into, source, { blocks: [0, 1, 2, 3], embed: true });
    expect((await snapshot(into))['block-00001.safetensors']).toBe(inode);
    const moved = await fetchJson(into, 'tiny-calyx', '--blocks', '5:6', '--drop', '0:3', '--drop-embed');
    expect(moved['parts']).toEqual([3, 5]);
    await expectSlice(into, source, { blocks: [3, 5] });
    const dropped = await fetchJson(into, 'tiny-calyx', '--drop', '3:4');
    expect(dropped).toMatchObject({ parts: [5], bytesFetched: 0 });
    await expectSlice(into, source, { blocks: [5] });
    // What is asked for and dropped at once stays.
    expect((await fetchJson(into, 'tiny-calyx', '--blocks', '5:6', '--drop', '0:12'))['parts']).toEqual([5]);
  });

  it('of a tied head and its embeddings moves the shared table once', async () => {
    const before = await egress(store.url);
    const both = await fetchJson(join(scratch, 'tied'), 'qwen2-tied', '--embed', '--head');
    expect((await egress(store.url)) - before).toBe(both['bytesFetched']);
    const table = JSON.parse(
      await readFile(join(scratch, 'tied', 'model.safetensors.index.json'), 'utf8'),
    ) as { metadata: { total_size: number } };
    expect(Number(both['bytesFetched'])).toBeLessThan(table.metadata.total_size + 20_000);
    expect(Object.keys(expectedTensors(sources.get('qwen2-tied') ?? {}, { blocks: [], head: true }))).toEqual(
      ['model.embed_tokens.weight', 'model.norm.weight'],
    );
  });

  it('can be asked for by revision', async () => {
    const revision = revisions.get('qwen3') ?? '';
    const into = join(scratch, 'pinned');
    const spec = `org/qwen3@${revision}`;
    const result = await calyxJson('fetch', spec, '--store', store.url, '--into', into, '--blocks', '0:1');
    expect(result).toMatchObject({ model: 'org/qwen3', revision });
  });
});

describe('a budget', () => {
  const NEVER_MADE = 'never-made';

  it('that is too small is refused before the first byte', async () => {
    const into = join(scratch, NEVER_MADE, 'deep');
    const before = await egress(store.url);
    const { budgetNeeded } = await fetchJson(into, 'tiny-calyx', '--blocks', '0:4', '--dry-run');
    for (const budget of ['0', '1', '3MB', String(Number(budgetNeeded) - 1)]) {
      const refused = await calyx(
        ...['fetch', 'org/tiny-calyx', '--store', store.url, '--into', into],
        ...['--blocks', '0:4', '--budget', budget, '--json'],
      );
      expect(refused).toMatchObject({ code: 1, stdout: '' });
      expect(refused.stderr).toContain(`${String(budgetNeeded)} bytes), more than the budget`);
    }
    expect(await readdir(scratch)).not.toContain(NEVER_MADE);
    expect(await egress(store.url)).toBe(before);
  });

  it('that just fits works, also for growing and shrinking, and is kept', async () => {
    const into = join(scratch, 'just-fits');
    for (const args of [
      ['--blocks', '0:4', '--embed'],
      ['--blocks', '4:7'],
      ['--blocks', '7:8', '--drop', '0:6'],
      ['--blocks', '0:12', '--embed', '--head'],
    ]) {
      const { budgetNeeded } = await fetchJson(into, 'tiny-calyx', ...args, '--dry-run');
      await fetchJson(into, 'tiny-calyx', ...args, '--budget', String(budgetNeeded));
      expect(await apparentBytes(into)).toBeLessThanOrEqual(Number(budgetNeeded));
      // It is not a guess with a wide margin either.
      expect(await apparentBytes(into)).toBeGreaterThan(Number(budgetNeeded) - 40_000);
    }
  });

  it('that a larger slice would break leaves the smaller one as it is', async () => {
    const into = join(scratch, 'kept');
    await fetchJson(into, 'tiny-calyx', '--blocks', '0:2');
    const before = await snapshot(into);
    const args = ['--store', store.url, '--into', into, '--budget', '2MB', '--json'];
    expect((await calyx('fetch', 'org/tiny-calyx', '--blocks', '2:6', ...args)).code).toBe(1);
    expect(await snapshot(into)).toEqual(before);
  });
});

describe('a directory that holds something else', () => {
  it.each([
    ['a foreign file', async (into: string) => writeFile(join(into, 'thesis.txt'), 'mine')],
    ['a hidden file', async (into: string) => writeFile(join(into, '.profile'), 'mine')],
    ['a model', async (into: string) => writeFile(join(into, 'model.safetensors'), 'mine')],
    ["a store's data", async (into: string) => calyx('add', TINY, '--name', 'a/b', '--data', into)],
    ['a slice of another model', async (into: string) => fetchJson(into, 'qwen3', '--blocks', '0:1')],
    [
      'an unfinished slice of another model',
      async (into: string) => {
        await fetchJson(into, 'qwen3', '--blocks', '0:1');
        await writeFile(join(into, 'slice.json'), '');
      },
    ],
  ])('%s: refused, nothing changed', async (what, fill) => {
    const into = join(scratch, what.replaceAll(/\W/g, '-'));
    await mkdir(into);
    await fill(into);
    const before = await snapshot(into);
    const sent = await egress(store.url);
    const args = ['--store', store.url, '--into', into, '--blocks', '0:1', '--json'];
    const refused = await calyx('fetch', 'org/tiny-calyx', ...args);
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toMatch(/holds (?:no slice|a slice of)|the data directory of a store/);
    expect(refused.stderr).toContain('--into');
    expect(await snapshot(into)).toEqual(before);
    expect(await egress(store.url)).toBe(sent);
  });

  it('a file in its place: refused', async () => {
    const into = join(scratch, 'a-file');
    await writeFile(into, 'mine');
    const args = ['--store', store.url, '--blocks', '0:1'];
    for (const place of [into, join(into, 'below')]) {
      const refused = await calyx('fetch', 'org/tiny-calyx', '--into', place, ...args);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain(into);
      expect(refused.stderr).not.toMatch(/not expected|\bat .*\.js:/);
    }
    expect(await readFile(into, 'utf8')).toBe('mine');
  });
});

describe('--dry-run', () => {
  it('tells what would happen and changes nothing', async () => {
    const into = join(scratch, 'dry');
    const before = await egress(store.url);
    const planned = await fetchJson(into, 'tiny-calyx', '--blocks', '0:3', '--head', '--dry-run');
    expect(await readdir(scratch)).not.toContain('dry');
    expect(await egress(store.url)).toBe(before);
    const done = await fetchJson(into, 'tiny-calyx', '--blocks', '0:3', '--head');
    expect(planned['dryRun']).toBe(true);
    expect({ ...done, seconds: 0, dryRun: true }).toEqual({ ...planned, seconds: 0 });
    const listed = await snapshot(into);
    const more = await fetchJson(into, 'tiny-calyx', '--blocks', '2:6', '--drop', '0:2', '--dry-run');
    expect(more['parts']).toEqual([2, 3, 4, 5, 'head']);
    expect(await snapshot(into)).toEqual(listed);
  });
});
