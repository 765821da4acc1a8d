import { createHash } from 'node:crypto';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { calyx, calyxJson } from '../support/cli.js';
import { suiteDirectory } from '../support/directories.js';
import { TINY } from '../support/models.js';
import { sha256sum } from '../support/outside-tools.js';
import { startStore, type RunningStore } from '../support/running-store.js';

// What the Hub's clients read of answers, asked for as they do.
const SHARD = 'model-00003-of-00004.safetensors';
const ODD = 'Größe "ü".txt';
/** Each has its name for its content. */
const GGUF = [
  'big/x-F16-00001-of-00002.gguf',
  'big/x-F16-00002-of-00002.gguf',
  'mmproj-F16.gguf',
  'x-IQ4_XS.gguf',
  'x-Q4_K_M.gguf',
  'x-Q8_0.gguf',
];
const scratch = suiteDirectory();
const data = join(scratch, 'data');
let store: RunningStore;
let revision: string;
let shardDigest: string;

beforeAll(async () => {
  const model = join(scratch, 'model');
  await cp(TINY, model, { recursive: true });
  await mkdir(join(model, 'notes/deep'), { recursive: true });
  await writeFile(join(model, 'notes', ODD), 'odd');
  await writeFile(join(model, 'notes/deep/x.txt'), '');
  revision = String((await calyxJson('add', model, '--name', 'acme/tiny', '--data', data))['revision']);
  await calyxJson('add', TINY, '--name', 'beta/tiny', '--data', data);
  const gguf = join(scratch, 'gguf');
  await cp(TINY, gguf, { recursive: true });
  await mkdir(join(gguf, 'big'));
  for (const file of GGUF) await writeFile(join(gguf, file), file);
  await calyxJson('add', gguf, '--name', 'acme/gguf', '--data', data);
  const path = join(TINY, SHARD);
  shardDigest = (await sha256sum([path]))[path] ?? '';
  store = await startStore(data);
  return async () => {
    await store.stop();
  };
});

const ask = (path: string, init?: RequestInit) => fetch(`${store.url}${path}`, init);

async function json<T>(path: string, init?: RequestInit): Promise<T> {
  const answer = await ask(path, init);
  expect(answer.status, path).toBe(200);
  return (await answer.json()) as T;
}

interface Entry {
  readonly type: string;
  readonly path: string;
  readonly oid: string;
  readonly size: number;
  readonly lfs?: { readonly oid: string; readonly size: number; readonly pointerSize: number };
  readonly lastCommit?: { readonly id: string };
}

describe('a file', () => {
  it('is described by HEAD', async () => {
    const answer = await ask(`/acme/tiny/resolve/main/${SHARD}`, { method: 'HEAD' });
    expect(answer.status).toBe(200);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'x-repo-commit': revision,
      etag: `"${shardDigest}"`,
      'x-linked-etag': `"${shardDigest}"`,
      'x-linked-size': '2857568',
      'content-length': '2857568',
      'accept-ranges': 'bytes',
      'cache-control': 'no-cache',
      'content-disposition': `inline; filename*=UTF-8''${SHARD}; filename="${SHARD}";`,
    });
    expect(answer.headers.has('x-xet-hash')).toBe(false);
  });

  it('is sent by ranges, of which clients ask for the first byte to learn the size', async () => {
    const bytes = await readFile(join(TINY, SHARD));
    for (const [range, from, to] of [
      ['0-0', 0, 1],
      ['1000-', 1000, bytes.byteLength],
      ['-8', bytes.byteLength - 8, bytes.byteLength],
    ] as const) {
      const answer = await ask(`/acme/tiny/resolve/${revision}/${SHARD}`, {
        headers: { range: `bytes=${range}` },
      });
      expect(answer.status).toBe(206);
      expect(answer.headers.get('content-range')).toBe(`bytes ${from}-${to - 1}/${bytes.byteLength}`);
      expect(answer.headers.get('x-repo-commit')).toBe(revision);
      expect(Buffer.from(await answer.arrayBuffer()).equals(bytes.subarray(from, to))).toBe(true);
    }
    const past = await ask(`/acme/tiny/resolve/main/${SHARD}`, { headers: { range: 'bytes=2857568-' } });
    expect([past.status, past.headers.get('content-range')]).toEqual([416, 'bytes */2857568']);
  });

  it('is not sent to who has it', async () => {
    const headers = { 'if-none-match': `"${shardDigest}"` };
    const path = `/acme/tiny/resolve/${revision}/${SHARD}`;
    const answer = await ask(path, { headers });
    expect([answer.status, await answer.text()]).toEqual([304, '']);
    // A revision never changes; what a ref names does.
    expect(answer.headers.get('cache-control')).toContain('immutable');
    expect((await ask(path, { method: 'HEAD', headers: { 'if-none-match': '"x"' } })).status).toBe(200);
  });

  it('has a name of any characters', async () => {
    for (const path of [`notes/${encodeURIComponent(ODD)}`, encodeURIComponent(`notes/${ODD}`)]) {
      const answer = await ask(`/acme/tiny/resolve/main/${path}`);
      expect(await answer.text()).toBe('odd');
      expect(answer.headers.get('content-disposition')).toBe(
        `inline; filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%22%C3%BC%22.txt; filename="Gr__e ___.txt";`,
      );
    }
  });

  it('may be empty, and may be asked for under HEAD, or as text', async () => {
    for (const path of ['resolve/HEAD', 'raw/main']) {
      const answer = await ask(`/acme/tiny/${path}/notes/deep/x.txt`);
      expect([answer.status, await answer.text()]).toEqual([200, '']);
      expect(answer.headers.get('etag')).toBe(
        '"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"',
      );
    }
  });
});

describe('a slice', () => {
  const name = 'acme/tiny_blocks_2-4_embed';

  it('has tags that nobody takes for a digest where there is none', async () => {
    const entries = await json<Entry[]>(`/api/models/${name}/tree/main?recursive=true`);
    expect(entries.map(({ path }) => path)).toEqual(
      expect.arrayContaining(['block-00002.safetensors', 'block-00003.safetensors', 'embed.safetensors']),
    );
    for (const { path, oid, size, lfs } of entries) {
      const answer = await ask(`/${name}/resolve/main/${path}`);
      const content = Buffer.from(await answer.arrayBuffer());
      expect(content.byteLength).toBe(size);
      if (/^(?:block|embed)/.test(path)) {
        expect(lfs).toBeUndefined();
        expect(oid).toMatch(/^calyx-[0-9a-f]{64}$/);
        expect(answer.headers.get('etag')).toBe(`"${oid}"`);
      } else {
        const digest = createHash('sha256').update(content).digest('hex');
        expect(lfs).toMatchObject({ oid: digest, size });
        expect(answer.headers.get('etag')).toBe(`"${digest}"`);
      }
    }
  });

  it('has the same bytes and tags in every slice that has the part', async () => {
    const tags = ['acme/tiny_blocks_2-4_embed', 'acme/tiny_blocks_3-12_head', 'beta/tiny_blocks_3-4'].map(
      async (repository) =>
        (await ask(`/${repository}/resolve/main/block-00003.safetensors`)).headers.get('etag'),
    );
    expect(new Set(await Promise.all(tags)).size).toBe(1);
  });

  it('has a commit of its own, which pins it', async () => {
    const { sha } = await json<{ sha: string }>(`/api/models/${name}`);
    const { branches } = await json<{ branches: unknown }>(`/api/models/${name}/refs`);
    expect(branches).toEqual([{ name: 'main', ref: 'refs/heads/main', targetCommit: sha }]);
    expect(sha).toMatch(/^[0-9a-f]{40}$/);
    const pinned = await ask(`/${name}/resolve/${sha}/config.json`);
    expect([pinned.status, pinned.headers.get('x-repo-commit')]).toEqual([200, sha]);
    const other = await json<{ sha: string }>('/api/models/acme/tiny_blocks_2-4');
    expect(other.sha).not.toBe(sha);
    expect((await ask(`/${name}/resolve/${other.sha}/config.json`)).headers.get('x-error-code')).toBe(
      'RevisionNotFound',
    );
  });
});

describe('listings', () => {
  it('go on where a page has ended', async () => {
    const all = await json<Entry[]>('/api/models/acme/tiny/tree/main?recursive=true');
    expect(all.filter(({ type }) => type === 'directory').map(({ path }) => path)).toEqual([
      'notes',
      'notes/deep',
    ]);
    const paged: Entry[] = [];
    let next: string | undefined = `${store.url}/api/models/acme/tiny/tree/main?recursive=true&limit=4`;
    let pages = 0;
    while (next !== undefined) {
      const answer: Response = await fetch(next);
      const entries = (await answer.json()) as Entry[];
      expect(entries.length).toBeLessThanOrEqual(4);
      paged.push(...entries);
      pages += 1;
      next = /<([^>]+)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1];
    }
    expect(paged).toEqual(all);
    expect(pages).toBe(Math.ceil(all.length / 4));
  });

  it('of directories show what is in them', async () => {
    const entries = await json<Entry[]>('/api/models/acme/tiny/tree/main/notes?expand=true');
    expect(entries.map(({ path }) => path)).toEqual([`notes/${ODD}`, 'notes/deep']);
    expect(entries[0]?.lastCommit?.id).toBe(revision);
    const missing = await ask('/api/models/acme/tiny/tree/main/nothing');
    expect([missing.status, missing.headers.get('x-error-code')]).toEqual([404, 'EntryNotFound']);
  });

  it('of models are by search, author and pages', async () => {
    const ids = async (query: string) =>
      (await json<{ id: string }[]>(`/api/models${query}`)).map(({ id }) => id);
    expect(await ids('')).toEqual(['acme/gguf', 'acme/tiny', 'beta/tiny']);
    expect(await ids('?search=BETA')).toEqual(['beta/tiny']);
    expect(await ids('?author=acme&search=tiny')).toEqual(['acme/tiny']);
    expect(await ids('?author=acm')).toEqual([]);
    const first = await ask('/api/models?limit=2');
    const next = /<([^>]+)>; rel="next"/.exec(first.headers.get('link') ?? '')?.[1] ?? '';
    expect(((await (await fetch(next)).json()) as { id: string }[]).map(({ id }) => id)).toEqual([
      'beta/tiny',
    ]);
    expect((await ask('/api/models?limit=0')).status).toBe(400);
  });

  it('tell of single paths, asked for as JSON or as a form', async () => {
    const path = '/api/models/acme/tiny/paths-info/main';
    const post = (type: string, body: string) =>
      json<Entry[]>(path, { method: 'POST', headers: { 'content-type': type }, body });
    const asJson = await post('application/json', JSON.stringify({ paths: [SHARD, 'notes', 'none'] }));
    expect(asJson.map(({ type, path: found }) => [type, found])).toEqual([
      ['file', SHARD],
      ['directory', 'notes'],
    ]);
    expect(asJson[0]?.lfs?.oid).toBe(shardDigest);
    const form = 'application/x-www-form-urlencoded';
    expect(await post(form, `paths=${SHARD}&paths=notes&expand=False`)).toEqual(asJson);
    const one = await post(form, `paths=${SHARD}&expand=True`);
    expect(one[0]?.lastCommit?.id).toBe(revision);
    const wrong = await ask(path, { method: 'POST', headers: { 'content-type': form }, body: 'x=1' });
    expect(wrong.status).toBe(400);
  });
});

describe('which GGUF file a tag means', () => {
  interface Named {
    readonly ggufFile: { readonly rfilename: string; readonly lfs: { readonly sha256: string } };
    readonly mmprojFile?: { readonly rfilename: string };
  }

  it.each([
    ['latest', 'x-Q4_K_M.gguf'],
    ['q8_0', 'x-Q8_0.gguf'],
    ['F16', 'big/x-F16-00001-of-00002.gguf'],
  ])('%s', async (tag, path) => {
    const { ggufFile, mmprojFile } = await json<Named>(`/v2/acme/gguf/manifests/${tag}`);
    expect(ggufFile.rfilename).toBe(path);
    expect(ggufFile.lfs.sha256).toBe(createHash('sha256').update(path).digest('hex'));
    expect(mmprojFile?.rfilename).toBe('mmproj-F16.gguf');
  });

  it.each([
    ['acme/gguf/manifests/Q4', 'EntryNotFound'],
    ['acme/tiny/manifests/latest', 'EntryNotFound'],
    ['acme/none/manifests/latest', 'RepoNotFound'],
  ])('%s: %s', async (path, code) => {
    const answer = await ask(`/v2/${path}`);
    expect([answer.status, answer.headers.get('x-error-code')]).toEqual([404, code]);
  });
});

describe('errors', () => {
  it.each([
    ['/api/models/acme/none', 'RepoNotFound'],
    ['/api/models/acme/-/tree/main', 'RepoNotFound'],
    ['/acme/none/resolve/main/config.json', 'RepoNotFound'],
    ['/acme/tiny_blocks_0-13/resolve/main/config.json', 'RepoNotFound'],
    ['/api/models/acme/none_blocks_0-1/refs', 'RepoNotFound'],
    ['/api/models/acme/tiny/revision/none', 'RevisionNotFound'],
    ['/acme/tiny/resolve/refs%2Fpr%2F1/config.json', 'RevisionNotFound'],
    ['/acme/tiny/resolve/..%2F..%2Fx/config.json', 'RevisionNotFound'],
    ['/acme/tiny/resolve/main/..%2Fconfig.json', 'EntryNotFound'],
    ['/acme/tiny/resolve/main/notes', 'EntryNotFound'],
    ['/acme/tiny_blocks_0-1/resolve/main/model-00001-of-00004.safetensors', 'EntryNotFound'],
    ['/gpt2/resolve/main/config.json', 'RepoNotFound'],
    ['/api/models/gpt2', 'RepoNotFound'],
    ['/api/models/gpt2/revision/main', 'RepoNotFound'],
    ['/api/models/gpt2/tree/main', 'RepoNotFound'],
    ['/api/none', null],
    ['/api/models/acme/tiny/none', null],
  ])('at %s have the form of the Hub: %s', async (path, code) => {
    const answer = await ask(path);
    expect([answer.status, answer.headers.get('x-error-code')]).toEqual([404, code]);
    const { error } = (await answer.json()) as { error: string };
    expect(answer.headers.get('x-error-message')).toBe(error);
  });

  it('say in a header what header fields can hold', async () => {
    const answer = await ask(`/acme/tiny/resolve/main/${encodeURIComponent('ß\n'.repeat(900))}`);
    expect(answer.headers.get('x-error-message')).toMatch(/^acme\/tiny@[0-9a-f]{40} has no \?/);
  });
});

describe('names', () => {
  it.each(['acme/tiny_blocks_4-8_head', 'tree/tiny', 'api/models', 'v1/tiny'])(
    'that a store gives to something else are refused: %s',
    async (name) => {
      const ended = await calyx('add', TINY, '--name', name, '--data', data);
      expect(ended).toMatchObject({ code: 2 });
      expect(ended.stderr).toContain(name.startsWith('acme') ? 'name of a slice' : 'paths of that name');
    },
  );
});
