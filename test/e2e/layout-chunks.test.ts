import { cp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { calyx, calyxJson, start, startCalyx } from '../support/cli.js';
import { suiteDirectory, testDirectory } from '../support/directories.js';
import { TINY } from '../support/models.js';
import { startStore, type RunningStore } from '../support/running-store.js';
import { apparentBytes } from '../support/slices.js';
import { changeTensors, writeTwoRevisions } from '../support/two-revisions.js';

/** What issue 5 allows two revisions to take that differ in 5 % of the tensors. */
const MOST_COPIES = 1.06;

const scratch = suiteDirectory();
let first: string;
let second: string;
let bytes: number;

beforeAll(async () => {
  ({ first, second, bytes } = await writeTwoRevisions(scratch));
});

async function storeOn(data: string, ...args: string[]): Promise<RunningStore> {
  const store = await startStore(data, { args });
  onTestFinished(() => store.stop().then(() => undefined));
  return store;
}

/** A directory of chunks with both revisions of `acme/random`, filled while no store ran. */
async function twoInChunks(): Promise<{ data: string; ids: [string, string] }> {
  const data = join(testDirectory(), 'data');
  await (await startStore(data, { args: ['--layout', 'chunks'] })).stop();
  const one = await calyxJson('add', first, '--name', 'acme/random', '--data', data);
  const two = await calyxJson('update', 'acme/random', second, '--data', data);
  return { data, ids: [one['revision'] as string, two['revision'] as string] };
}

/** Bytes on the disk, as `du` counts blocks; a file with two names once. */
async function diskBytes(directory: string): Promise<number> {
  const { stdout } = await start('du', ['--block-size=1', '--summarize', directory]).ended;
  return Number(stdout.split('\t')[0]);
}

/** What a store shows of a model is what a directory holds, file by file, whole and in pieces. */
async function expectServed(url: string, spec: string, directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const expected = await readFile(join(directory, name));
    const at = `${url}/tree/models/${spec}/${name}`;
    const whole = Buffer.from(await (await fetch(at)).arrayBuffer());
    expect(whole.equals(expected), `${spec}/${name}`).toBe(true);
    if (expected.byteLength === 0) continue;
    const [from, to] = [Math.floor(expected.byteLength / 3), expected.byteLength - 1];
    const piece = await fetch(at, { headers: { range: `bytes=${from}-${to}` } });
    expect(piece.status).toBe(206);
    expect(Buffer.from(await piece.arrayBuffer()).equals(expected.subarray(from))).toBe(true);
  }
}

async function bundles(data: string): Promise<string[]> {
  const names = await readdir(join(data, '.calyx/bundles'));
  return names.filter((name) => name.endsWith('.chunks')).sort();
}

describe('a store with --layout chunks', () => {
  it('keeps two revisions in the room of one and what differs, and serves both', async () => {
    const data = join(testDirectory(), 'data');
    const store = await storeOn(data, '--layout', 'chunks');
    const one = await calyxJson('add', first, '--name', 'acme/random', '--data', data);
    await expectServed(store.url, 'acme/random', first);
    const two = await calyxJson('update', 'acme/random', second, '--data', data);
    expect(two['changed']).toBe(true);
    expect(await apparentBytes(data)).toBeLessThanOrEqual(MOST_COPIES * bytes);
    expect(await diskBytes(data)).toBeLessThanOrEqual(MOST_COPIES * bytes);
    await expectServed(store.url, 'acme/random', second);
    await expectServed(store.url, `acme/random@${one['revision'] as string}`, first);
    const into = join(testDirectory(), 'slice');
    const fetched = await startCalyx(['fetch', 'acme/random', '--blocks', '6:9', '--into', into, '--store', store.url]).ended;
    expect(fetched.code).toBe(0);
    expect(await calyx('verify', '--data', data)).toMatchObject({ code: 0 });
    expect(await calyxJson('list', '--revisions', 'acme/random', '--data', data)).toMatchObject({
      // Two of 42 matrices of 1 MiB, and two vectors.
      revisions: [{ ownBytes: expect.closeTo((2 * bytes) / 42, -5) as number }, {}],
    });
  }); // prettier-ignore

  it('keeps a fine-tune under another name in the room of what differs', async () => {
    const { data } = await twoInChunks();
    const [before, kept] = [await apparentBytes(data), await bundles(data)];
    const tuned = join(testDirectory(), 'tuned');
    await cp(first, tuned, { recursive: true });
    await changeTensors(tuned, /^model\.layers\.3\./);
    await calyxJson('add', tuned, '--name', 'me/tuned', '--data', data);
    expect((await apparentBytes(data)) - before).toBeLessThanOrEqual(0.06 * bytes);
    const store = await storeOn(data);
    await expectServed(store.url, 'me/tuned', tuned);
    await calyxJson('remove', 'me/tuned', '--data', data);
    expect(await bundles(data)).toEqual(kept);
    await expectServed(store.url, 'acme/random', second);
  });

  it('turns the plain files that it finds into chunks, without a second copy, and stays so', async () => {
    const data = join(testDirectory(), 'data');
    await calyxJson('add', first, '--name', 'acme/random', '--data', data);
    await calyxJson('update', 'acme/random', second, '--data', data);
    await calyxJson('add', TINY, '--name', 'acme/tiny', '--data', data);
    // Somebody else's, in the same cache.
    const foreign = join(data, 'models--other--model/blobs/1234');
    await cp(join(TINY, 'config.json'), foreign);
    const both = await apparentBytes(data);
    const store = await startStore(data, { args: ['--layout', 'chunks'] });
    expect(await apparentBytes(data)).toBeLessThan(both - 0.19 * bytes);
    await expectServed(store.url, 'acme/random', second);
    await expectServed(store.url, 'acme/tiny', TINY);
    await store.stop();
    expect((await readdir(data)).sort()).toEqual(['.calyx', 'models--other--model']);
    expect((await stat(foreign)).size).toBeGreaterThan(0);
    const again = await storeOn(data);
    await expectServed(again.url, 'acme/random', second);
    expect(await calyx('verify', '--data', data)).toMatchObject({ code: 0 });
    // Without a change nothing is written.
    expect(await calyxJson('update', 'acme/random', '--data', data)).toMatchObject({ changed: false, importedBytes: 0 });
  }); // prettier-ignore

  it('says what does not go', async () => {
    const { data } = await twoInChunks();
    const back = await calyx('store', '--data', data, '--listen', '127.0.0.1:0', '--no-nfs', '--layout', 'files');
    expect([back.code, back.stderr]).toEqual([2, expect.stringContaining('cannot be turned back into plain files')]);
    const origin = await calyx('store', '--data', data, '--listen', '127.0.0.1:0', '--no-nfs', '--origin', 's3://bucket');
    expect([origin.code, origin.stderr]).toEqual([2, expect.stringContaining('does not go with --origin')]);
    const odd = await calyx('store', '--data', data, '--layout', 'tensors');
    expect([odd.code, odd.stderr]).toEqual([2, expect.stringContaining('files, chunks')]);
  }); // prettier-ignore
});

describe('gc', () => {
  it('frees what only a removed revision had, and writes bundles again that are mostly dead', async () => {
    const { data, ids } = await twoInChunks();
    // Nine tenths of all blocks differ in the third.
    const third = join(testDirectory(), 'third');
    await cp(second, third, { recursive: true });
    await changeTensors(third, /^model\.layers\.(?!1\.|11\.)/);
    await calyxJson('update', 'acme/random', third, '--data', data);
    const store = await storeOn(data);
    // A reader that began before has its bytes to the end.
    const [shard = ''] = (await readdir(third)).filter((name) => name.endsWith('.safetensors'));
    const answer = await fetch(`${store.url}/tree/models/acme/random/${shard}`);
    const planned = await calyxJson('gc', '--keep', '1', '--dry-run', '--data', data);
    const report = await calyxJson('gc', '--keep', '1', '--data', data);
    expect(report).toEqual({ ...planned, dryRun: false });
    expect((report['removed'] as { revision: string }[]).map(({ revision }) => revision).sort()).toEqual([...ids].sort());
    expect(report['bytes']).toBeGreaterThan(0.7 * bytes);
    expect(Buffer.from(await answer.arrayBuffer()).equals(await readFile(join(third, shard)))).toBe(true);
    expect(await apparentBytes(data)).toBeLessThanOrEqual(MOST_COPIES * bytes);
    await expectServed(store.url, 'acme/random', third);
    expect(await calyx('verify', '--data', data)).toMatchObject({ code: 0 });
    expect(await calyxJson('gc', '--data', data)).toMatchObject({ bytes: 0, removed: [], leftovers: [] });
    await calyxJson('remove', 'acme/random', '--force', '--data', data);
    expect(await bundles(data)).toEqual([]);
  }); // prettier-ignore

  it('keeps what a rolled back model needs', async () => {
    const { data, ids } = await twoInChunks();
    const [old] = ids;
    expect(await calyxJson('rollback', 'acme/random', old, '--data', data)).toMatchObject({ moved: true });
    const { removed } = await calyxJson('gc', '--keep', '0', '--data', data);
    expect(removed).toMatchObject([{ revision: ids[1] }]);
    const store = await storeOn(data);
    await expectServed(store.url, 'acme/random', first);
  });
});

describe('damage in a bundle', () => {
  it('is told by file and tensor, is not served as right to a fetch, and is repaired by adding again', async () => {
    const { data } = await twoInChunks();
    const [largest = ''] = (await bundles(data)).sort();
    const path = join(data, '.calyx/bundles', largest);
    const size = (await stat(path)).size;
    const file = await open(path, 'r+');
    await file.write(Buffer.alloc(64, 0xff), 0, 64, Math.floor(size / 2));
    await file.close();
    const { code, stdout } = await calyx('verify', '--data', data);
    expect(code).toBe(1);
    expect(stdout).toContain(largest);
    await calyxJson('add', second, '--name', 'acme/random', '--data', data);
    await calyxJson('add', first, '--name', 'acme/random', '--data', data);
    expect(await calyx('verify', '--data', data)).toMatchObject({ code: 0 });
  });

  it.each(['cut off', 'gone', 'without its index'])('a bundle that is %s loses nothing but its own', async (how) => {
    const { data, ids } = await twoInChunks();
    const sizes = await Promise.all((await bundles(data)).map(async (name) => [name, (await stat(join(data, '.calyx/bundles', name))).size] as const));
    const [name = ''] = sizes.sort((a, b) => b[1] - a[1])[0] ?? [];
    const path = join(data, '.calyx/bundles', name);
    if (how === 'cut off') await truncate(path, 1000);
    else await rm(how === 'gone' ? path : path.replace('.chunks', '.index'));
    const { code, stdout } = await calyx('verify', '--data', data);
    expect(code).toBe(1);
    expect(stdout).toContain('its blob is missing');
    const store = await storeOn(data);
    const answers = await Promise.all((await readdir(first)).map(async (file) => {
      const answer = await fetch(`${store.url}/tree/models/acme/random@${ids[0]}/${file}`);
      if (!answer.ok) return answer.status;
      const got = await answer.arrayBuffer().then((body) => Buffer.from(body), () => undefined);
      if (got !== undefined) expect(got.equals(await readFile(join(first, file)))).toBe(true);
      return got === undefined ? 'cut' : answer.status;
    }));
    expect(answers).toContain(200);
    expect(answers.every((status) => status === 200)).toBe(false);
    await calyxJson('add', second, '--name', 'acme/random', '--data', data);
    await calyxJson('add', first, '--name', 'acme/random', '--data', data);
    await expectServed(store.url, 'acme/random', first);
    await expectServed(store.url, `acme/random@${ids[1]}`, second);
  }); // prettier-ignore
});

it('small files, empty ones and names that repeat are served as they are', async () => {
  const data = join(testDirectory(), 'data');
  const source = join(testDirectory(), 'model');
  await cp(TINY, source, { recursive: true });
  await writeFile(join(source, 'empty.txt'), '');
  await writeFile(join(source, 'one.txt'), 'the same');
  await writeFile(join(source, 'two.txt'), 'the same');
  const [shard = ''] = (await readdir(source)).filter((name) => name.endsWith('.safetensors'));
  // The content of a shard once more, where nothing says that it is one.
  await cp(join(source, shard), join(source, 'backup.dat'));
  const store = await storeOn(data, '--layout', 'chunks');
  await calyxJson('add', source, '--name', 'acme/tiny', '--data', data);
  await expectServed(store.url, 'acme/tiny', source);
  expect(await calyx('verify', '--data', data)).toMatchObject({ code: 0 });
});
