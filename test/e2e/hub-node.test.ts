import { basename, join } from 'node:path';
import {
  downloadFile,
  fileExists,
  HubApiError,
  listFiles,
  listModels,
  modelInfo,
  repoExists,
  snapshotDownload,
} from '@huggingface/hub';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { calyxJson } from '../support/cli.js';
import { suiteDirectory, testDirectory } from '../support/directories.js';
import { TINY } from '../support/models.js';
import { digestsBelow } from '../support/read-tree.js';
import { startStore, type RunningStore } from '../support/running-store.js';

// The Hub's client for JavaScript, as it is published.
const scratch = suiteDirectory();
let store: RunningStore;
let revision: string;

beforeAll(async () => {
  const data = join(scratch, 'data');
  revision = String((await calyxJson('add', TINY, '--name', 'acme/tiny', '--data', data))['revision']);
  store = await startStore(data);
  return async () => {
    await store.stop();
  };
});

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

const at = () => ({ repo: 'acme/tiny', hubUrl: store.url });

describe('@huggingface/hub', () => {
  it('lists models and files, by SHA-256', async () => {
    expect((await all(listModels({ hubUrl: store.url }))).map(({ name }) => name)).toEqual(['acme/tiny']);
    const files = await all(listFiles({ ...at(), recursive: true }));
    const listed = files.map(({ path, size, lfs }) => [path, `${size} ${lfs?.oid ?? ''}`]);
    expect(Object.fromEntries(listed)).toEqual(await digestsBelow(TINY));
    const info = await modelInfo({ name: 'acme/tiny', hubUrl: store.url, additionalFields: ['sha'] });
    expect(info).toMatchObject({ name: 'acme/tiny', sha: revision, gated: false });
    expect(info.updatedAt.getTime()).not.toBeNaN();
  });

  it.each(['acme/tiny', 'acme/tiny_blocks_0-12_embed_head'])('downloads all of %s', async (repo) => {
    // It tells of each file.
    vi.spyOn(console, 'debug').mockReturnValue();
    const path = await snapshotDownload({ ...at(), repo, cacheDir: testDirectory() });
    const into = join(testDirectory(), 'slice');
    const blocks = ['--blocks', '0:12', '--embed', '--head'];
    await calyxJson('fetch', 'acme/tiny', '--store', store.url, '--into', into, ...blocks);
    expect(await digestsBelow(path)).toEqual(await digestsBelow(repo === 'acme/tiny' ? TINY : into));
    if (repo === 'acme/tiny') expect(basename(path)).toBe(revision);
  });

  it('reads a part of a file', async () => {
    const file = await downloadFile({ ...at(), path: 'config.json' });
    expect(file?.size).toBe(719);
    expect(await file?.slice(0, 2).text()).toBe('{\n');
  });

  it('knows what is not there', async () => {
    expect(await fileExists({ ...at(), path: 'nothing' })).toBe(false);
    expect(await fileExists({ ...at(), path: 'config.json' })).toBe(true);
    expect(await downloadFile({ ...at(), path: 'nothing' })).toBeNull();
    expect(await repoExists({ ...at(), repo: 'acme/none' })).toBe(false);
    const failure = await modelInfo({ name: 'acme/none', hubUrl: store.url }).catch(
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(HubApiError);
    expect(failure).toMatchObject({ statusCode: 404 });
    expect(String(failure)).toContain('the store has no model acme/none');
  });
});
