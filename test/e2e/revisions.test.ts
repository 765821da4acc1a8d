import { cp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { calyx, calyxJson, startCalyx } from '../support/cli.js';
import { suiteDirectory, testDirectory } from '../support/directories.js';
import { TINY } from '../support/models.js';
import { readWithPython } from '../support/nfs-over-tls.js';
import { startStore, type RunningStore } from '../support/running-store.js';

/** What issue 5 grants a ref that moves, as one that is published. */
const VISIBLE_WITHIN_MS = 2_000;

const scratch = suiteDirectory();
const NOTES = ['the first', 'the second one', 'the third of them'];

interface Summary {
  readonly revision: string;
  readonly refs: string[];
  readonly pins: string[];
  readonly bytes: number;
  readonly ownBytes: number;
  readonly users: { by: string; idleSeconds: number | null; open: number; node: boolean }[] | null;
}

const source = join(scratch, 'model');
const prepared = join(scratch, 'prepared');
const revisions: string[] = [];

beforeAll(async () => {
  await cp(TINY, source, { recursive: true });
  for (const note of NOTES) {
    await writeFile(join(source, 'note.txt'), note);
    const added = await calyxJson('add', source, '--name', 'acme/tiny', '--data', prepared);
    revisions.push(added['revision'] as string);
  }
});

/** A store's directory with three revisions, oldest first; each differs from the others in `note.txt`. */
async function threeRevisions(): Promise<{ data: string; ids: [string, string, string] }> {
  const data = join(testDirectory(), 'data');
  await cp(prepared, data, { recursive: true, verbatimSymlinks: true });
  return { data, ids: revisions as [string, string, string] };
}

async function storeOn(data: string, args: readonly string[] = []): Promise<RunningStore> {
  const store = await startStore(data, { args });
  onTestFinished(() => store.stop().then(() => undefined));
  return store;
}

async function list(data: string): Promise<Summary[]> {
  const { revisions } = await calyxJson('list', '--revisions', 'acme/tiny', '--data', data);
  return revisions as Summary[];
}

async function removedBy(data: string, ...args: string[]): Promise<string[]> {
  const { removed } = await calyxJson('gc', ...args, '--data', data);
  return (removed as { revision: string }[]).map(({ revision }) => revision).sort();
}

async function mainOf(url: string): Promise<{ revision: string; generation: number; manifest: string }> {
  const answer = await fetch(`${url}/v1/models/acme/tiny/revisions/main`);
  return (await answer.json()) as { revision: string; generation: number; manifest: string };
}

describe.each(['without a store', 'with a store that runs'])('%s', (where) => {
  it('revisions are listed, pinned, rolled back to and collected', async () => {
    const { data, ids } = await threeRevisions();
    const [first, second, third] = ids;
    const store = where.startsWith('with a') ? await storeOn(data) : undefined;
    expect(await list(data)).toMatchObject(
      [third, second, first].map((revision, index) => ({
        revision,
        refs: index === 0 ? ['main'] : [],
        pins: [],
        ownBytes: NOTES[2 - index]?.length,
        users: [],
      })),
    );
    expect(await calyxJson('pin', `acme/tiny@${first.slice(0, 8)}`, 'proven', '--data', data)).toEqual({
      ...{ model: 'acme/tiny', revision: first, name: 'proven', changed: true },
    });
    expect(await removedBy(data, '--dry-run')).toEqual([second]);
    expect(await removedBy(data, '--keep', '2')).toEqual([]);
    expect(await removedBy(data)).toEqual([second]);
    expect((await list(data)).map(({ revision }) => revision)).toEqual([third, first]);
    expect(await calyxJson('rollback', 'acme/tiny', 'proven', '--data', data)).toEqual({
      ...{ model: 'acme/tiny', revision: first, generation: 4, moved: true },
    });
    expect(await calyxJson('rollback', 'acme/tiny', first, '--data', data)).toMatchObject({
      ...{ generation: 4, moved: false },
    });
    const kept = await calyx('remove', 'acme/tiny', '--force', '--data', data);
    expect([kept.code, kept.stderr]).toEqual([1, expect.stringContaining('has a pinned revision: proven')]);
    expect(await calyxJson('unpin', 'acme/tiny@proven', '--data', data)).toMatchObject({
      removed: ['proven'],
      left: [],
    });
    expect(await removedBy(data, 'acme/tiny', '--keep', '0')).toEqual([third]);
    if (store !== undefined) expect(await mainOf(store.url)).toMatchObject({ revision: first });
    expect((await calyx('verify', '--data', data)).code).toBe(0);
    expect(await readFile(join(data, 'models--acme--tiny/refs/main'), 'utf8')).toBe(first);
    expect(await readdir(join(data, 'models--acme--tiny/snapshots'))).toEqual([first]);
  });
});

describe('what is not there', () => {
  it('is told, with what there is', async () => {
    const { data, ids } = await threeRevisions();
    for (const args of [
      ['rollback', 'acme/tiny', 'deadbeef'],
      ['pin', 'acme/tiny@deadbeef'],
      ['unpin', 'acme/tiny@deadbeef'],
    ]) {
      const { code, stderr } = await calyx(...args, '--data', data);
      expect(code).toBe(1);
      expect(stderr).toContain("acme/tiny has no revision or ref 'deadbeef'");
      for (const id of ids) expect(stderr).toContain(id);
    }
    for (const args of [['gc', 'acme/lily'], ['rollback', 'acme/lily', 'main'], ['list', '--revisions', 'acme/lily']]) {
      const { code, stderr } = await calyx(...args, '--data', data);
      expect([code, stderr]).toEqual([1, expect.stringContaining('the store has no model acme/lily\n  it has acme/tiny')]);
    }
  }); // prettier-ignore

  it('a pin of another revision is not moved', async () => {
    const { data, ids } = await threeRevisions();
    await calyxJson('pin', `acme/tiny@${ids[0]}`, 'good', '--data', data);
    const { code, stderr } = await calyx('pin', 'acme/tiny@main', 'good', '--data', data);
    expect([code, stderr]).toEqual([1, expect.stringContaining(`keeps the revision ${ids[0]}`)]);
  });
});

describe('who uses a revision keeps it', () => {
  it('a reader by HTTP, by the manifest, a blob or a path', async () => {
    const { data, ids } = await threeRevisions();
    const [first, second] = ids;
    const store = await storeOn(data);
    const { manifest } = (await (await fetch(`${store.url}/v1/models/acme/tiny/revisions/${first}`)).json()) as {
      manifest: string;
    };
    // Asking what there is, is not yet reading.
    expect(await removedBy(data, '--dry-run')).toEqual([first, second].sort());
    await (await fetch(`${store.url}/v1/manifests/${manifest}`)).arrayBuffer();
    expect(await removedBy(data, '--dry-run')).toEqual([second]);
    await (await fetch(`${store.url}/tree/models/acme/tiny@${second}/config.json`)).arrayBuffer();
    expect(await removedBy(data)).toEqual([]);
    const users = (await list(data)).map(({ users: all }) => all?.map(({ by, node }) => [by, node]));
    expect(users).toEqual([[], [['127.0.0.1', false]], [['127.0.0.1', false]]]);
    expect((await calyx('gc', '--data', data)).stdout).toMatch(`kept acme/tiny@${second}: 127.0.0.1 read it`);
  }); // prettier-ignore

  it('of a blob that several revisions have, its reader uses the one whose manifest he got', async () => {
    const { data, ids } = await threeRevisions();
    const [first, second, third] = ids;
    const store = await storeOn(data);
    const { manifest } = await mainOf(store.url);
    const { files } = (await (await fetch(`${store.url}/v1/manifests/${manifest}`)).json()) as {
      files: { path: string; blob: string }[];
    };
    const config = files.find(({ path }) => path === 'config.json')?.blob;
    await (await fetch(`${store.url}/v1/blobs/${config}`)).arrayBuffer();
    expect(await removedBy(data)).toEqual([first, second].sort());
    expect((await mainOf(store.url)).revision).toBe(third);
  });

  it('a reader of whom no manifest is known: all revisions with the blob', async () => {
    const { data, ids } = await threeRevisions();
    const store = await storeOn(data);
    const config = await readFile(join(data, '.calyx/revisions/models--acme--tiny', `${ids[0]}.json`), 'utf8');
    const { manifest } = JSON.parse(config) as { manifest: string };
    const text = await readFile(join(data, '.calyx/manifests', `${manifest}.json`), 'utf8');
    const { files } = JSON.parse(text) as { files: { path: string; blob: string }[] };
    const note = files.find(({ path }) => path === 'note.txt')?.blob;
    expect(await (await fetch(`${store.url}/v1/blobs/${note}`)).text()).toBe(NOTES[0]);
    expect(await removedBy(data)).toEqual([ids[1]]);
    expect(await (await fetch(`${store.url}/v1/blobs/${note}`)).text()).toBe(NOTES[0]);
  });

  it('a client of NFS that read of it, also from removal', async () => {
    const { data, ids } = await threeRevisions();
    const store = await startStore(data, { nfs: '127.0.0.1:0' });
    onTestFinished(() => store.stop().then(() => undefined));
    const path = ['models', 'acme', `tiny@${ids[0]}`, 'note.txt'];
    const read = await readWithPython(testDirectory(), { port: store.nfs?.port ?? 0, path });
    expect(read).toMatchObject({ size: NOTES[0]?.length });
    expect(await removedBy(data)).toEqual([ids[1]]);
    expect((await list(data)).map(({ users }) => users?.length)).toEqual([0, 1]);
    const removal = await calyx('remove', 'acme/tiny', '--data', data);
    expect([removal.code, removal.stderr]).toEqual([1, expect.stringContaining('is in use: 127.0.0.1 read it')]);
  });

  it('also when the store was started again meanwhile, or does not run', async () => {
    const { data, ids } = await threeRevisions();
    const store = await startStore(data, { nfs: '127.0.0.1:0' });
    const path = ['models', 'acme', `tiny@${ids[0]}`, 'note.txt'];
    await readWithPython(testDirectory(), { port: store.nfs?.port ?? 0, path });
    await (await fetch(`${store.url}/tree/models/acme/tiny@${ids[1]}/note.txt`)).arrayBuffer();
    expect((await store.stop()).code).toBe(0);
    expect(await removedBy(data)).toEqual([]);
    await storeOn(data);
    expect(await removedBy(data)).toEqual([]);
    expect((await list(data)).map(({ users }) => users?.length)).toEqual([0, 1, 1]);
  });

  it('a node that runs it', async () => {
    const { data, ids } = await threeRevisions();
    const store = await storeOn(data);
    const id = '4ad1b3a6-7f0e-4a53-9c6e-0d8f3b1f6c11';
    const record = {
      ...{ id, name: 'n1', url: 'http://127.0.0.1:1', model: 'acme/tiny', revision: ids[0] },
      ...{ blocks: { start: 0, end: 1 }, embed: true, head: false },
    };
    const headers = { 'content-type': 'application/json' };
    const put = await fetch(`${store.url}/v1/nodes/${id}`, { method: 'PUT', headers, body: JSON.stringify(record) });
    expect(put.status).toBe(200);
    expect((await list(data))[2]?.users).toEqual([
      { by: 'n1 at http://127.0.0.1:1', idleSeconds: null, open: 1, node: true },
    ]);
    expect(await removedBy(data)).toEqual([ids[1]]);
    await fetch(`${store.url}/v1/nodes/${id}`, { method: 'DELETE' });
    expect(await removedBy(data)).toEqual([ids[0]]);
  });
}); // prettier-ignore

describe('rollback', () => {
  it('is signed, so that clients that have joined follow it', async () => {
    const { data, ids } = await threeRevisions();
    const store = await storeOn(data, ['--tls']);
    const made = await calyxJson('token', 'create', '--role', 'read', '--data', data);
    const into = join(testDirectory(), 'slice');
    await calyxJson('rollback', 'acme/tiny', ids[0], '--data', data);
    const env = { CALYX_STORE: made['join'] as string, XDG_CONFIG_HOME: testDirectory() };
    const args = ['fetch', 'acme/tiny', '--blocks', '0:1', '--into', into, '--json'];
    const { code, stdout, stderr } = await startCalyx(args, env).ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect((JSON.parse(stdout) as { revision: string }).revision).toBe(ids[0]);
    expect(store.url).toMatch(/^https:/);
  });

  it('shows by every door of the store within 2 s', async () => {
    const { data, ids } = await threeRevisions();
    const store = await storeOn(data);
    const note = async (): Promise<string> =>
      (await fetch(`${store.url}/tree/models/acme/tiny/note.txt`)).text();
    expect(await note()).toBe(NOTES[2]);
    await calyxJson('rollback', 'acme/tiny', ids[0], '--data', data);
    const from = performance.now();
    while ((await note()) !== NOTES[0]) expect(performance.now() - from).toBeLessThan(VISIBLE_WITHIN_MS);
    expect(await mainOf(store.url)).toMatchObject({ revision: ids[0], generation: 4 });
    const ref = await fetch(`${store.url}/tree/hub/models--acme--tiny/refs/main`);
    expect(await ref.text()).toBe(ids[0]);
  });

  it('of a revision that is not whole any more is refused', async () => {
    const { data, ids } = await threeRevisions();
    await rm(await realpath(join(data, 'models--acme--tiny/snapshots', ids[0], 'note.txt')));
    const { code, stderr } = await calyx('rollback', 'acme/tiny', ids[0], '--data', data);
    expect([code, stderr]).toEqual([1, expect.stringContaining('its file note.txt is missing or cut off')]);
  });
});

describe('an add beside a collection', () => {
  it('both complete, whatever their order, and all of what was added can be read', async () => {
    const { data } = await threeRevisions();
    await storeOn(data);
    for (let round = 0; round < 6; round += 1) {
      // Back to content that only an old revision has: the update relies on blobs that a collection is about to remove.
      await writeFile(join(source, 'note.txt'), NOTES[round % 3] ?? '');
      const command = round % 2 === 0 ? ['update', 'acme/tiny'] : ['add', source, '--name', 'acme/tiny'];
      const adding = startCalyx([...command, '--data', data]).ended;
      let over = false;
      void adding.finally(() => (over = true));
      while (!over) {
        const ended = await calyx('gc', '--keep', '0', '--data', data);
        expect(ended).toMatchObject({ code: 0, stderr: '' });
      }
      expect(await adding).toMatchObject({ code: 0, stderr: '' });
    }
    expect((await calyx('verify', '--data', data)).code).toBe(0);
  }, 120_000);
});
