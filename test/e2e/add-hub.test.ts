import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startCalyx, type Ended } from '../support/cli.js';
import { VECTORS, copyOfFixture, FIXTURES, sha256sum } from '../support/catalog.js';
import { testDirectory } from '../support/directories.js';
import { FakeHub } from '../support/fake-hub.js';

const REPO = 'acme/rose';
let hub: FakeHub;
beforeAll(async () => {
  hub = await FakeHub.start();
});
afterAll(() => hub.stop());
beforeEach(() => {
  hub.requests.length = 0;
  hub.bytesSent = 0;
  hub.fault = () => undefined;
  hub.rewriteTree = (entries) => entries;
  hub.bytesPerSecond = Infinity;
  hub.placeUses = Infinity;
});

/** Runs `calyx add` against the fake Hub, with no token unless one is given. */
function add(data: string, args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  const home = {
    HF_TOKEN: '',
    HF_HOME: join(data, '..', 'no-home'),
    HF_ENDPOINT: hub.url,
    no_proxy: '*',
    NO_PROXY: '*',
  };
  return startCalyx(['add', ...args, '--data', data], { ...home, ...env }).ended;
}

async function addJson(
  data: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Record<string, unknown>> {
  const ended = await add(data, [...args, '--json'], env);
  expect(ended, ended.stderr).toMatchObject({ code: 0 });
  return JSON.parse(ended.stdout) as Record<string, unknown>;
}

const dataDirectory = (): string => join(testDirectory(), 'data');

/** What the store shows is the very model, by its snapshot and sha256sum. */
function expectPublished(data: string, commit: string, repo = REPO): void {
  const folder = join(data, `models--${repo.replace('/', '--')}`);
  expect(readFileSync(join(folder, 'refs', 'main'), 'utf8')).toBe(commit);
  const files = hub.files(repo).filter(({ path }) => !path.startsWith('.'));
  const sums = sha256sum(files.map(({ path }) => join(folder, 'snapshots', commit, path)));
  expect([...sums.values()]).toEqual(files.map(({ sha256 }) => sha256));
  expect(existsSync(join(data, '.calyx', 'staging', `models--${repo.replace('/', '--')}`))).toBe(false);
}

describe('calyx add ORG/NAME', () => {
  it('takes a model from the Hub: its commit is the revision, its files are what git and coreutils say', async () => {
    const directory = copyOfFixture('qwen3');
    writeFileSync(join(directory, '.gitattributes'), '*.safetensors filter=lfs\n');
    writeFileSync(join(directory, 'empty.txt'), '');
    mkdirSync(join(directory, 'assets'));
    writeFileSync(join(directory, 'assets', 'a name with blanks & #.txt'), 'of a friend');
    const commit = hub.publish(REPO, directory);
    const data = dataDirectory();
    const added = await addJson(data, [REPO]);
    expect(added).toMatchObject({ model: REPO, revision: commit, generation: 1, changed: true, blocks: 6 });
    expectPublished(data, commit);
    // A hidden file is not part of a model.
    expect(existsSync(join(data, 'models--acme--rose', 'snapshots', commit, '.gitattributes'))).toBe(false);
    const size = hub.files(REPO).reduce((sum, file) => sum + (file.path.startsWith('.') ? 0 : file.size), 0);
    expect(hub.bytesSent).toBe(size);
    expect(added['fetchedBytes']).toBe(size);
    // The Hub is asked once a large file where that is.
    for (const { path, lfs } of hub.files(REPO)) {
      if (lfs) expect(hub.reads(path).map(({ origin }) => origin)).toEqual(['hub', 'cdn']);
    }
  });

  it('moves nothing if there is nothing new, and of a new commit only what is new', async () => {
    const directory = copyOfFixture('llama3-rope');
    const first = hub.publish(REPO, directory);
    const data = dataDirectory();
    await addJson(data, [REPO]);
    hub.bytesSent = 0;
    expect(await addJson(data, [REPO])).toMatchObject({ changed: false, revision: first, fetchedBytes: 0 });
    expect(hub.bytesSent).toBe(0);
    const shard = join(directory, 'model-00002-of-00006.safetensors');
    const bytes = readFileSync(shard);
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    writeFileSync(shard, bytes);
    writeFileSync(join(directory, 'README.md'), '# Rose\n');
    const second = hub.publish(REPO, directory);
    const dry = await addJson(data, [REPO, '--dry-run']);
    const moved = bytes.byteLength + '# Rose\n'.length;
    expect(dry).toMatchObject({ dryRun: true, revision: second, isPublished: false, movedBytes: moved });
    expect(hub.bytesSent).toBe(0);
    expect(await addJson(data, [REPO])).toMatchObject({
      changed: true,
      revision: second,
      generation: 2,
      fetchedBytes: moved,
    });
    expect(hub.bytesSent).toBe(moved);
    expectPublished(data, second);
    // The old one by its commit: it comes back, and nothing moves.
    hub.bytesSent = 0;
    expect(await addJson(data, [`${REPO}@${first}`])).toMatchObject({
      changed: true,
      revision: first,
      generation: 3,
    });
    expect(hub.bytesSent).toBe(0);
  });

  it('goes through what networks do: refusals with Retry-After, broken connections, addresses that end', async () => {
    const directory = copyOfFixture('qwen2-tied');
    const commit = hub.publish(REPO, directory);
    const seen = new Map<string, number>();
    hub.placeUses = 1;
    hub.fault = ({ origin, url, path }) => {
      const key = `${origin} ${path ?? url}`;
      const count = (seen.get(key) ?? 0) + 1;
      seen.set(key, count);
      if (path === 'config.json' && count === 1) return { status: 429, headers: { 'retry-after': '1' } };
      if (path === 'model-00001-of-00006.safetensors' && origin === 'cdn' && count === 1) return 'drop';
      if (path === 'model-00002-of-00006.safetensors' && origin === 'cdn' && count <= 2) return 'cut';
      if (path === 'model-00003-of-00006.safetensors' && origin === 'hub' && count === 1)
        return { status: 503 };
      if (url.includes('/tree/') && count === 1) return { status: 500 };
      return undefined;
    };
    const data = dataDirectory();
    const startedAt = performance.now();
    const ended = await add(data, [REPO]);
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stderr).toContain('asks for patience');
    expect(performance.now() - startedAt).toBeGreaterThan(1_000);
    expectPublished(data, commit);
  });

  it('fetches a file with wrong bytes once more, and publishes nothing if it stays wrong', async () => {
    const directory = copyOfFixture('qwen3');
    const commit = hub.publish(REPO, directory);
    const data = dataDirectory();
    const shard = 'model-00004-of-00006.safetensors';
    hub.fault = ({ path, origin }) => (path === shard && origin === 'cdn' ? 'wrong' : undefined);
    const ended = await add(data, [REPO]);
    expect(ended.code).toBe(1);
    const { sha256 } = hub.files(REPO).find(({ path }) => path === shard) ?? { sha256: '' };
    expect(ended.stderr).toContain(`${shard} was fetched twice`);
    expect(ended.stderr).toContain(`instead of ${sha256}`);
    expect(readdirSync(data).filter((name) => name.startsWith('models--'))).toEqual([]);
    // A small file is known by its git id.
    let wrong = 0;
    hub.fault = ({ path }) => {
      if (path !== 'golden.json') return undefined;
      wrong += 1;
      // Each request is asked about twice: before its answer, and while it is sent.
      return wrong <= 2 ? 'wrong' : undefined;
    };
    rmSync(join(data, '.calyx', 'staging', 'models--acme--rose', 'incoming', 'golden.json'));
    const before = hub.reads('model-00001-of-00006.safetensors').length;
    expect(await addJson(data, [REPO])).toMatchObject({ revision: commit, changed: true });
    expectPublished(data, commit);
    expect(wrong).toBe(4);
    // What was verified before is not fetched again.
    expect(hub.reads('model-00001-of-00006.safetensors')).toHaveLength(before);
  });

  it('does not mix what changed at the source between two runs', async () => {
    const directory = copyOfFixture('mistral-f32');
    hub.publish(REPO, directory);
    const data = dataDirectory();
    hub.fault = ({ path, origin }) =>
      path === 'model.safetensors' && origin === 'cdn' ? { status: 403 } : undefined;
    expect((await add(data, [REPO])).code).toBe(1);
    hub.fault = () => undefined;
    appendFileSync(join(directory, 'config.json'), '\n');
    const commit = hub.publish(REPO, directory);
    expect(await addJson(data, [REPO])).toMatchObject({ revision: commit });
    expectPublished(data, commit);
  });
});

describe('who may have it', () => {
  const token = { HF_TOKEN: 'hf_fakeTokenOfATest' };

  it('the token goes to the Hub and to nobody else', async () => {
    const commit = hub.publish('acme/secret', copyOfFixture('qwen3'), 'main', 'private');
    const data = dataDirectory();
    expect(await addJson(data, ['acme/secret'], token)).toMatchObject({ revision: commit });
    const [asked, elsewhere] = ['hub', 'cdn'].map((origin) =>
      hub.requests.filter((one) => one.origin === origin),
    );
    expect(asked?.every(({ authorization }) => authorization === `Bearer ${token.HF_TOKEN}`)).toBe(true);
    expect(elsewhere?.length).toBeGreaterThan(0);
    expect(elsewhere?.filter(({ authorization }) => authorization !== undefined)).toEqual([]);
    expectPublished(data, commit, 'acme/secret');
    // Nor to a mirror that was only named on the command line.
    hub.requests.length = 0;
    await add(dataDirectory(), [`${hub.url}/acme/secret`], { ...token, HF_ENDPOINT: '' });
    expect(hub.requests.length).toBeGreaterThan(0);
    expect(hub.requests.filter(({ authorization }) => authorization !== undefined)).toEqual([]);
  });

  it('is taken from the file that the Hub’s own client writes', async () => {
    const home = testDirectory();
    writeFileSync(join(home, 'token'), `${token.HF_TOKEN}\n`);
    const commit = hub.publish('acme/secret', copyOfFixture('qwen3'), 'main', 'private');
    expect(await addJson(dataDirectory(), ['acme/secret'], { HF_HOME: home })).toMatchObject({
      revision: commit,
    });
  });

  it('is explained: gated, a wrong token, no such model, no such revision', async () => {
    hub.publish('acme/gated', copyOfFixture('qwen3'), 'main', 'gated');
    hub.publish('acme/secret', copyOfFixture('qwen3'), 'main', 'private');
    const data = dataDirectory();
    const fail = async (args: string[], env: Record<string, string>, ...says: string[]): Promise<void> => {
      const ended = await add(data, args, env);
      expect(ended.code, ended.stderr).toBe(1);
      for (const piece of says) expect(ended.stderr).toContain(piece);
      expect(ended.stderr).not.toContain('hf_fake');
    };
    await fail(
      ['acme/gated'],
      token,
      'acme/gated is gated',
      `open ${hub.url}/acme/gated`,
      'accept the conditions',
    );
    await fail(['acme/gated'], {}, 'acme/gated is gated', 'HF_TOKEN');
    await fail(
      ['acme/secret'],
      { HF_TOKEN: 'hf_fakeAndWrong' },
      'does not accept the token',
      'make a new one',
    );
    await fail(['acme/secret'], {}, 'has no model acme/secret', 'without a token', 'HF_TOKEN');
    await fail(['acme/nothing'], token, 'has no model acme/nothing', 'check the name');
    await fail(['acme/secret@v9'], token, "has no revision 'v9'", 'a branch, a tag or a commit');
    expect(existsSync(join(data, 'models--acme--gated'))).toBe(false);
  }, 120_000);
});

describe('which files', () => {
  it('are chosen by patterns, and a model is published whole or not at all', async () => {
    const directory = copyOfFixture('qwen3');
    mkdirSync(join(directory, 'original'));
    writeFileSync(join(directory, 'original', 'consolidated.bin'), 'the same weights again');
    const commit = hub.publish(REPO, directory);
    const data = dataDirectory();
    const half = await add(data, [REPO, '--include', '*.json', '--include', '*00001*']);
    expect(half.code).toBe(1);
    expect(half.stderr).toContain('is not complete: 5 shards');
    expect(hub.reads('model-00001-of-00006.safetensors')).toEqual([]);
    const none = await add(data, [REPO, '--include', '*.json']);
    expect(none.stderr).toContain('no weights among the files');
    await addJson(data, [REPO, '--exclude', 'original/*', '--exclude', 'golden.json']);
    const snapshot = join(data, 'models--acme--rose', 'snapshots', commit);
    const names = readdirSync(snapshot);
    expect(names).toContain('model-00001-of-00006.safetensors');
    expect(names).not.toContain('original');
    expect(names).not.toContain('golden.json');
    expect(hub.reads('original/consolidated.bin')).toEqual([]);
    // A revision never changes: not with other files either.
    const other = await add(data, [REPO]);
    expect(other.code).toBe(1);
    expect(other.stderr).toContain('is published with other files');
  });

  it('of a hostile listing nothing is taken', async () => {
    hub.publish(REPO, copyOfFixture('mistral-f32'));
    const data = dataDirectory();
    const oid = '0'.repeat(40);
    const tricks: [unknown, string][] = [
      [{ type: 'file', path: '../../etc/passwd', size: 3, oid }, 'a file at'],
      [{ type: 'file', path: '/etc/passwd', size: 3, oid }, 'a file at'],
      [{ type: 'file', path: 'a\\b', size: 3, oid }, 'a file at'],
      [{ type: 'file', path: 'config.json/x', size: 3, oid }, 'as a file and as a directory'],
      [{ type: 'file', path: 'config.json', size: 3, oid }, 'config.json twice'],
      [{ type: 'file', path: 'x', size: -1, oid }, 'is not one'],
      [{ type: 'file', path: 'x', size: 2 ** 52, oid }, 'more than'],
      [{ type: 'file', path: 'x', size: 1, oid: 'x' }, 'is not one'],
    ];
    for (const [entry, says] of tricks) {
      hub.rewriteTree = (entries) => [...entries, entry];
      const ended = await add(data, [REPO]);
      expect({ code: ended.code, said: ended.stderr }).toEqual({
        code: 1,
        said: expect.stringContaining(says) as string,
      });
    }
    hub.rewriteTree = (entries) => entries;
    expect(existsSync(join(data, '.calyx', 'staging'))).toBe(false);
    expect(hub.bytesSent).toBe(0);
  }, 120_000);
});

describe('a Hugging Face cache', () => {
  /** A cache as huggingface_hub makes it: blobs by SHA-256 or git id, and links to them. */
  function makeCache(commit: string): string {
    hub.publish('acme/cached', FIXTURES.qwen3);
    const folder = join(testDirectory(), 'models--acme--cached');
    mkdirSync(join(folder, 'blobs'), { recursive: true });
    mkdirSync(join(folder, 'refs'));
    mkdirSync(join(folder, 'snapshots', commit), { recursive: true });
    writeFileSync(join(folder, 'refs', 'main'), commit);
    for (const { path, place, lfs, sha256, gitBlob } of hub.files('acme/cached')) {
      const name = lfs ? sha256 : gitBlob;
      cpSync(place, join(folder, 'blobs', name));
      symlinkSync(`../../blobs/${name}`, join(folder, 'snapshots', commit, path));
    }
    return folder;
  }

  it('is taken in place, its commit is the revision and its folder the name', async () => {
    const commit = 'c0ffee'.padEnd(40, '0');
    const folder = makeCache(commit);
    const data = join(folder, '..', 'data');
    expect(await addJson(data, [folder, '--link'])).toMatchObject({ model: 'acme/cached', revision: commit });
    const link = readlinkSync(join(data, 'models--acme--cached', 'snapshots', commit, 'config.json'));
    expect(statSync(join(data, 'models--acme--cached', 'snapshots', commit, link)).nlink).toBe(2);
    expectPublished(data, commit, 'acme/cached');
    expect(hub.requests).toEqual([]);
    // The same by the snapshot's own path, under another name.
    const again = await addJson(data, [join(folder, 'snapshots', commit), '--name', 'acme/other']);
    expect(again).toMatchObject({ model: 'acme/other', revision: commit });
  });

  it('that is damaged is refused', async () => {
    const folder = makeCache('c0ffee'.padEnd(40, '0'));
    const config = readdirSync(join(folder, 'blobs')).find((name) => name.length === 40) ?? '';
    appendFileSync(join(folder, 'blobs', config), ' ');
    const ended = await add(join(folder, '..', 'data'), [folder]);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('is damaged in the cache');
    rmSync(folder, { recursive: true });
  });
});

describe('a source', () => {
  it('that is a directory goes before the Hub, and says so', async () => {
    const directory = testDirectory();
    cpSync(FIXTURES.qwen3, join(directory, 'acme', 'rose'), { recursive: true });
    hub.publish(REPO, FIXTURES.qwen3);
    const ended = await startInside(directory, [
      'add',
      'acme/rose',
      '--name',
      'acme/local',
      '--data',
      join(directory, 'data'),
    ]);
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stderr).toContain(`the one on the Hub is ${hub.url}/acme/rose`);
    expect(ended.stdout).toContain(VECTORS.qwen3.revision);
    expect(hub.requests).toEqual([]);
  });

  it('without a name wants one', async () => {
    const ended = await add(dataDirectory(), [FIXTURES.qwen3]);
    expect(ended.code).toBe(2);
    expect(ended.stderr).toContain('--name ORG/NAME');
  });
});

/** Runs the command line in a directory. */
function startInside(directory: string, args: readonly string[]): Promise<Ended> {
  return startCalyx(args, { HF_ENDPOINT: hub.url }, { cwd: directory }).ended;
}
