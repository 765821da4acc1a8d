import { cp, mkdir, readFile, rename } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { readGolden } from '../inference/model-files.js';
import { calyxJson } from '../support/cli.js';
import { ROOT, suiteDirectory, testDirectory } from '../support/directories.js';
import { hf, hubCall, hubCalls, withHub, type HubSettings } from '../support/hub-client.js';
import { TINY } from '../support/models.js';
import {
  enginesPython,
  expectLogits,
  expectPetalsBlock,
  petalsPython,
  readSlice,
} from '../support/python-engines.js';
import { startProxy } from '../support/proxy.js';
import { digestsBelow, filesBelow, traces } from '../support/read-tree.js';
import { egress, startStore, type RunningStore } from '../support/running-store.js';

// The clients of the Hub for Python, as they are published, with HF_ENDPOINT at a store. To import them takes seconds on a busy machine.
const SLOW = { timeout: 240_000 };
const SMALL = join(ROOT, 'test/fixtures/models/qwen2-tied');

const scratch = suiteDirectory();
const data = join(scratch, 'data');
let store: RunningStore;
let revision: string;

beforeAll(async () => {
  revision = String((await calyxJson('add', TINY, '--name', 'acme/tiny', '--data', data))['revision']);
  await calyxJson('add', SMALL, '--name', 'beta/small', '--data', data);
  store = await startStore(data);
  return async () => {
    await store.stop();
  };
});

/** Settings of somebody new, with an empty cache. */
function newcomer(): HubSettings {
  return { HF_ENDPOINT: store.url, HF_HOME: testDirectory() };
}

const golden = () =>
  readGolden(TINY).cases.map(({ prompt, tokens, last_logits: logits }) => ({
    ids: tokens ?? (prompt as number[]),
    logits,
  }));

describe('huggingface_hub', SLOW, () => {
  it('downloads a model with its very bytes, under the revision of the store', async (context) => {
    const python = enginesPython(context);
    const path = String(await hubCall(python, newcomer(), 'snapshot_download', { repo_id: 'acme/tiny' }));
    expect(basename(path)).toBe(revision);
    expect(await digestsBelow(path)).toEqual(await digestsBelow(TINY));
  });

  it('downloads of a slice exactly what calyx fetch writes, and the store sends no more', async (context) => {
    const python = enginesPython(context);
    const into = join(testDirectory(), 'slice');
    const blocks = ['--blocks', '4:6', '--head'];
    await calyxJson('fetch', 'acme/tiny', '--store', store.url, '--into', into, ...blocks);
    const fetched = await digestsBelow(into);
    const before = await egress(store.url);
    const repository = { repo_id: 'acme/tiny_blocks_4-6_head' };
    const path = String(await hubCall(python, newcomer(), 'snapshot_download', repository));
    const downloaded = await digestsBelow(path);
    for (const name of ['block-00004.safetensors', 'block-00005.safetensors', 'head.safetensors'])
      expect(downloaded).toHaveProperty([name]);
    expect(Object.keys(downloaded).filter((name) => /^(?:block|embed|head)/.test(name))).toHaveLength(3);
    expect(downloaded).toEqual(fetched);
    expect(await egress(store.url)).toBe(before + (await blobBytes(path)));
  });

  it('pins a slice by its commit, also when main has moved', async (context) => {
    const python = enginesPython(context);
    const settings = newcomer();
    const add = (from: string) => calyxJson('add', from, '--name', 'acme/moves', '--data', data);
    await add(SMALL);
    const repo_id = 'acme/moves_blocks_1-2';
    const first = String(await hubCall(python, settings, 'snapshot_download', { repo_id }));
    const other = join(testDirectory(), 'other');
    await cp(SMALL, other, { recursive: true });
    await rename(join(other, 'generation_config.json'), join(other, 'renamed.json'));
    await add(other);
    const pinned = { repo_id, revision: basename(first) };
    const [again, moved, model] = await hubCalls(
      python,
      newcomer(),
      ['snapshot_download', pinned],
      ['snapshot_download', { repo_id }],
      ['repo_info', { repo_id: 'acme/moves' }],
    );
    expect(basename(first)).toMatch(/^[0-9a-f]{40}$/);
    expect(await digestsBelow(String(again?.value))).toEqual(await digestsBelow(first));
    expect(basename(String(moved?.value))).not.toBe(basename(first));
    expect(await digestsBelow(String(moved?.value))).not.toEqual(await digestsBelow(first));
    expect(String(model?.value)).not.toContain(basename(first));
  });

  it('takes the files into a directory, and finds them whole again', async (context) => {
    const python = enginesPython(context);
    const settings = newcomer();
    const local_dir = join(testDirectory(), 'local');
    const file = { repo_id: 'acme/tiny', local_dir, filename: 'model-00003-of-00004.safetensors' };
    const before = await egress(store.url);
    const calls = ['hf_hub_download', file] as const;
    const outcomes = await hubCalls(python, settings, calls, calls);
    expect(outcomes.map(({ value }) => value)).toEqual([0, 1].map(() => join(local_dir, file.filename)));
    expect(await egress(store.url)).toBe(before + 2_857_568);
  });

  it('asks again where a connection was cut, and takes nothing for whole that is not', async (context) => {
    const python = enginesPython(context);
    const file = { repo_id: 'acme/tiny', filename: 'model-00003-of-00004.safetensors' };
    let connections = 0;
    const proxy = await startProxy(store.port, {
      cutAfter: () => (connections++ < 2 ? 1_500_000 : undefined),
    });
    const settings = { ...newcomer(), HF_ENDPOINT: proxy.url };
    const path = String(await hubCall(python, settings, 'hf_hub_download', file));
    await proxy.close();
    expect(proxy.cuts).toBe(2);
    expect((await readFile(path)).equals(await readFile(join(TINY, file.filename)))).toBe(true);
  });

  it('lists, and describes by SHA-256', async (context) => {
    const python = enginesPython(context);
    const [models, none, files, described, refs, exists, metadata] = await hubCalls(
      python,
      newcomer(),
      ['list_repo_files', { repo_id: 'acme/tiny' }],
      ['file_exists', { repo_id: 'acme/tiny', filename: 'nothing.json' }],
      ['list_repo_files', { repo_id: 'acme/tiny_blocks_0-1' }],
      ['get_paths_info', { repo_id: 'acme/tiny', paths: ['config.json', 'nothing'], expand: true }],
      ['list_repo_refs', { repo_id: 'acme/tiny' }],
      ['repo_exists', { repo_id: 'acme/tiny' }],
      ['get_safetensors_metadata', { repo_id: 'acme/tiny_blocks_0-1' }],
    );
    expect(models?.value).toEqual(Object.keys(await digestsBelow(TINY)));
    expect(none?.value).toBe(false);
    expect(files?.value).toContain('block-00000.safetensors');
    expect(described?.value).toHaveLength(1);
    expect(String((described?.value as unknown[])[0])).toMatch(
      /path='config.json', size=719.*sha256='ad84ec31/,
    );
    expect(String(refs?.value)).toContain(`target_commit='${revision}'`);
    expect(exists?.value).toBe(true);
    expect(String(metadata?.value)).toContain('block-00000.safetensors');
  });

  it('knows each error by its class', async (context) => {
    const python = enginesPython(context);
    const file = { repo_id: 'acme/tiny', filename: 'config.json' };
    const cases: readonly (readonly [string, string, Readonly<Record<string, unknown>>])[] = [
      ['RepositoryNotFoundError', 'snapshot_download', { repo_id: 'acme/none' }],
      ['RepositoryNotFoundError', 'hf_hub_download', { ...file, repo_id: 'acme/none' }],
      ['RepositoryNotFoundError', 'hf_hub_download', { ...file, repo_id: 'acme/tiny_blocks_4-13' }],
      ['RepositoryNotFoundError', 'repo_info', { repo_id: 'acme/none_blocks_0-1' }],
      ['RevisionNotFoundError', 'snapshot_download', { repo_id: 'acme/tiny', revision: 'nothing' }],
      ['RevisionNotFoundError', 'hf_hub_download', { ...file, revision: 'refs/pr/1' }],
      ['RevisionNotFoundError', 'hf_hub_download', { ...file, revision: 'b'.repeat(40) }],
      ['RevisionNotFoundError', 'repo_info', { repo_id: 'acme/tiny_blocks_0-1', revision }],
      ['EntryNotFoundError', 'hf_hub_download', { ...file, filename: 'nothing.json' }],
      [
        'EntryNotFoundError',
        'hf_hub_download',
        { repo_id: 'acme/tiny_blocks_0-1', filename: 'embed.safetensors' },
      ],
    ];
    const outcomes = await hubCalls(
      python,
      newcomer(),
      ...cases.map(([, name, args]) => [name, args] as const),
    );
    for (const [index, [name, call, args]] of cases.entries())
      expect(outcomes[index]?.error, `${call} ${JSON.stringify(args)}`).toContain(name);
    // The message says what there is instead.
    expect(outcomes[2]?.message).toContain('it has 12 blocks');
    expect(outcomes[7]?.message).toMatch(
      /this is a revision of its model; that of the slice is [0-9a-f]{40}/,
    );
  });
});

describe('transformers', SLOW, () => {
  const online = (context: TestContext) => ({
    python: enginesPython(context),
    run: withHub({ ...newcomer(), HF_HUB_OFFLINE: '0' }),
  });

  it('computes the golden logits of a model from the store', async (context) => {
    const { python, run } = online(context);
    await expectLogits(python, 'acme/tiny', golden(), run);
  });

  it('computes the golden logits of the slice with everything', async (context) => {
    const { python, run } = online(context);
    await expectLogits(python, 'acme/tiny_blocks_0-12_embed_head', golden(), run);
  });

  it('does not take a slice without all blocks for a model', async (context) => {
    const { python, run } = online(context);
    const part = expectLogits(python, 'acme/tiny_blocks_0-11_embed_head', [{ ids: [0], logits: [] }], run);
    await expect(part).rejects.toThrow(/is not the whole model.*missing_keys.*model\.layers\.11\./);
  });

  it('offline takes the data directory of a store for its cache, and writes nothing', async (context) => {
    const python = enginesPython(context);
    const copy = join(testDirectory(), 'data');
    await mkdir(copy);
    await cp(data, copy, {
      recursive: true,
      verbatimSymlinks: true,
      filter: (path) => !path.includes('/owners/'),
    });
    const before = await traces(copy);
    const settings = { HF_HOME: testDirectory(), HF_HUB_CACHE: copy, HF_HUB_OFFLINE: '1' };
    await expectLogits(python, 'acme/tiny', golden(), withHub(settings));
    const path = await hubCall(python, settings, 'snapshot_download', { repo_id: 'acme/tiny' });
    expect(await digestsBelow(String(path))).toEqual(await digestsBelow(TINY));
    expect(await traces(copy)).toEqual(before);
  });
});

// With huggingface_hub 0.17, which asks in other ways than the newest.
describe('Petals', SLOW, () => {
  it('loads a block from a slice, and moves its parts alone', async (context) => {
    const python = petalsPython(context);
    const { tensors } = await readSlice(enginesPython(context), TINY);
    const run = withHub({ ...newcomer(), HF_HUB_OFFLINE: '0' });
    const before = await egress(store.url);
    await expectPetalsBlock(python, 'acme/tiny_blocks_7-8', tensors, 7, run);
    const part = await fetch(`${store.url}/acme/tiny_blocks_7-8/resolve/main/block-00007.safetensors`);
    const bytes = Buffer.from(await part.arrayBuffer());
    const content = bytes.byteLength - 8 - Number(bytes.readBigUInt64LE(0));
    // What was asked for here, by Petals, and the configuration.
    expect(await egress(store.url)).toBe(before + 2 * content + 719);
  });

  it('loads a block from the whole model', async (context) => {
    const python = petalsPython(context);
    const { tensors } = await readSlice(enginesPython(context), TINY);
    await expectPetalsBlock(python, 'acme/tiny', tensors, 7, withHub({ ...newcomer(), HF_HUB_OFFLINE: '0' }));
  });

  it('has a client that knows errors too', async (context) => {
    const outcomes = await hubCalls(
      petalsPython(context),
      newcomer(),
      ['snapshot_download', { repo_id: 'acme/none' }],
      ['hf_hub_download', { repo_id: 'acme/tiny', filename: 'config.json', revision: 'nothing' }],
      ['hf_hub_download', { repo_id: 'acme/tiny', filename: 'nothing.json' }],
    );
    const names = ['RepositoryNotFoundError', 'RevisionNotFoundError', 'EntryNotFoundError'];
    for (const [index, name] of names.entries()) expect(outcomes[index]?.error).toContain(name);
  });
});

describe('the command hf', SLOW, () => {
  it('lists, downloads, verifies, and says what is not there', async (context) => {
    const python = enginesPython(context);
    const settings = newcomer();
    const listed = await hf(python, settings, 'models', 'ls', '--author', 'acme', '--format', 'json');
    expect((JSON.parse(listed.stdout) as { id: string }[]).map(({ id }) => id)).toContain('acme/tiny');
    expect(listed.stdout).not.toContain('beta/small');
    const downloaded = await hf(python, settings, 'download', 'acme/tiny', '--quiet');
    expect(downloaded, downloaded.stderr).toMatchObject({ code: 0 });
    expect(basename(downloaded.stdout.trim())).toBe(revision);
    const verified = await hf(python, settings, 'cache', 'verify', 'acme/tiny');
    expect(verified, verified.stderr).toMatchObject({ code: 0 });
    expect(verified.stdout + verified.stderr).toContain('Verified 11 file(s)');
    const none = await hf(python, settings, 'download', 'acme/none');
    expect(none.code).not.toBe(0);
    expect(none.stderr).toContain("'acme/none' not found");
  });
});

/** Bytes of a slice that lie in blobs: all but what the store makes itself, the headers of the parts among it. */
async function blobBytes(directory: string): Promise<number> {
  let sum = 0;
  for (const name of await filesBelow(directory)) {
    if (name === 'model.safetensors.index.json' || name === 'slice.json') continue;
    const content = await readFile(join(directory, name));
    const header = name.endsWith('.safetensors') ? 8 + Number(content.readBigUInt64LE(0)) : 0;
    sum += content.byteLength - header;
  }
  return sum;
}
