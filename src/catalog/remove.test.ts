import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  copyOfFixture,
  directoryBytes,
  emptyStore,
  FIXTURES,
  MODEL,
  publish,
  resolve,
  sha256sum,
  stage,
  VECTORS,
} from '../../test/support/catalog.js';
import { removeModel } from './remove.js';
import { catalogTree } from './tree/catalog-tree.js';
import { walkTree } from './file-tree.js';

const OTHER = { org: 'acme', name: 'lily' };

test('the model is gone as a whole, and its bytes are freed', async () => {
  const { layout, catalog } = emptyStore();
  await publish(layout, FIXTURES.qwen3);
  const digests = [
    ...sha256sum(readdirSync(FIXTURES.qwen3).map((name) => join(FIXTURES.qwen3, name))).values(),
  ];
  const removed = await removeModel(layout, catalog, MODEL);
  expect([...removed.blobs].sort()).toEqual(digests.sort());
  expect(removed.bytes).toBe(directoryBytes(FIXTURES.qwen3));
  expect(await catalog.models()).toEqual([]);
  expect(await catalog.revisions(MODEL)).toEqual([]);
  expect(existsSync(layout.model(MODEL))).toBe(false);
  expect(existsSync(layout.manifest(VECTORS.qwen3.sha256))).toBe(false);
  for (const path of [
    ['models', 'acme'],
    ['hub', 'models--acme--rose'],
    ['slices', 'acme'],
  ]) {
    expect(await walkTree(catalogTree(catalog).root, path)).toBeUndefined();
  }
});

test('all revisions go', async () => {
  const { layout, catalog } = emptyStore();
  await publish(layout, FIXTURES.qwen3);
  await publish(layout, FIXTURES['qwen2-tied']);
  const { bytes } = await removeModel(layout, catalog, MODEL);
  expect(bytes).toBeGreaterThan(directoryBytes(FIXTURES.qwen3));
  expect(readdirSync(join(layout.own, 'manifests'))).toEqual([]);
});

test('another model with the same content stays whole, down to the shared manifest', async () => {
  const { layout, catalog } = emptyStore();
  await publish(layout, FIXTURES.qwen3);
  await publish(layout, FIXTURES.qwen3, { model: OTHER });
  await removeModel(layout, catalog, MODEL);
  const { manifest, revision } = await catalog.resolve({ model: OTHER, revision: 'main' });
  expect(revision).toBe(VECTORS.qwen3.revision);
  for (const file of manifest.files) {
    const path = await catalog.locate(file.blob);
    expect(readFileSync(path ?? '').equals(readFileSync(join(FIXTURES.qwen3, file.path)))).toBe(true);
  }
});

test('what was only staged is freed too', async () => {
  const { layout, catalog } = emptyStore();
  await stage(layout, FIXTURES.qwen3);
  await removeModel(layout, catalog, MODEL);
  expect(existsSync(layout.staging(MODEL))).toBe(false);
});

test('a model that was never there', async () => {
  const { layout, catalog } = emptyStore();
  await expect(removeModel(layout, catalog, MODEL)).rejects.toMatchObject({ code: 'not-found' });
  await publish(layout, FIXTURES.qwen3);
  await removeModel(layout, catalog, MODEL);
  await expect(removeModel(layout, catalog, MODEL)).rejects.toMatchObject({ code: 'not-found' });
});

test('a model that other programs keep in the same cache is not ours to remove', async () => {
  const { layout, catalog } = emptyStore();
  mkdirSync(layout.blobs(MODEL), { recursive: true });
  writeFileSync(layout.blob(MODEL, 'a'.repeat(64)), 'of another program');
  await expect(removeModel(layout, catalog, MODEL)).rejects.toMatchObject({ code: 'not-found' });
  expect(existsSync(layout.blob(MODEL, 'a'.repeat(64)))).toBe(true);
});

describe('after a kill', () => {
  test.each([
    ['the refs were removed', []],
    ['half of the blobs, too', ['blobs']],
    ['the folder of the cache, too', ['blobs', 'snapshots', 'refs']],
  ])('when %s, nothing shows, and a second removal completes', async (_, gone) => {
    const { layout, catalog } = emptyStore();
    await publish(layout, FIXTURES.qwen3);
    rmSync(layout.refs(MODEL), { recursive: true });
    for (const name of gone) rmSync(join(layout.model(MODEL), name), { recursive: true });
    expect(await catalog.models()).toEqual([]);
    await expect(resolve(catalog, VECTORS.qwen3.revision)).rejects.toMatchObject({ code: 'not-found' });
    await removeModel(layout, catalog, MODEL);
    expect(existsSync(layout.model(MODEL))).toBe(false);
    expect(existsSync(layout.manifest(VECTORS.qwen3.sha256))).toBe(false);
    await expect(removeModel(layout, catalog, MODEL)).rejects.toMatchObject({ code: 'not-found' });
  });

  test('a new publication does not bring back a revision without blobs', async () => {
    const { layout, catalog } = emptyStore();
    await publish(layout, FIXTURES.qwen3);
    rmSync(layout.refs(MODEL), { recursive: true });
    rmSync(layout.blobs(MODEL), { recursive: true });
    await publish(layout, FIXTURES['qwen2-tied']);
    expect(await catalog.revisions(MODEL)).toEqual([VECTORS['qwen2-tied'].revision]);
    await expect(resolve(catalog, VECTORS.qwen3.revision)).rejects.toMatchObject({ code: 'not-found' });
    expect(readdirSync(join(layout.model(MODEL), 'snapshots'))).toEqual([VECTORS['qwen2-tied'].revision]);
  });
});

test.each(['ref', 'revision'] as const)(
  'a damaged record of a %s does not stand in the way',
  async (kind) => {
    const { layout, catalog } = emptyStore();
    await publish(layout, FIXTURES.qwen3);
    await publish(layout, FIXTURES['qwen2-tied'], { model: OTHER });
    const path = kind === 'ref' ? layout.ref(MODEL, 'main') : layout.revision(MODEL, VECTORS.qwen3.revision);
    writeFileSync(path, 'garbage');
    const { bytes } = await removeModel(layout, catalog, MODEL);
    // One file is the other model's too.
    const shared = statSync(join(FIXTURES.qwen3, 'generation_config.json')).size;
    expect(bytes).toBe(directoryBytes(FIXTURES.qwen3) - shared);
    expect(await catalog.models()).toEqual([OTHER]);
  },
);

test('a damaged record of another model costs that model nothing', async () => {
  const { layout, catalog } = emptyStore();
  await publish(layout, FIXTURES.qwen3);
  await publish(layout, FIXTURES.qwen3, { model: OTHER });
  writeFileSync(layout.revision(OTHER, VECTORS.qwen3.revision), 'garbage');
  await removeModel(layout, catalog, MODEL);
  // It may be the manifest of the other one, so it stays.
  expect(existsSync(layout.manifest(VECTORS.qwen3.sha256))).toBe(true);
  expect((await catalog.resolve({ model: OTHER, revision: 'main' })).revision).toBe(VECTORS.qwen3.revision);
});

test('a model that comes back goes on with its generations', async () => {
  const { layout, catalog } = emptyStore();
  const source = copyOfFixture('qwen3');
  await publish(layout, source);
  writeFileSync(join(source, 'more.txt'), 'more');
  expect((await publish(layout, source)).ref.generation).toBe(2);
  await removeModel(layout, catalog, MODEL);
  expect((await publish(layout, source)).ref.generation).toBe(3);
  await removeModel(layout, catalog, MODEL);
  expect((await publish(layout, FIXTURES.qwen3)).ref.generation).toBe(4);
});
