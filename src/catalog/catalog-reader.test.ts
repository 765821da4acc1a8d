import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { emptyStore, FIXTURES, MODEL, publish, resolve, stage, VECTORS } from '../../test/support/catalog.js';
import { DiskCatalog } from './catalog-reader.js';
import { removeModel } from './remove.js';
import type { StoreLayout } from './store-layout.js';

const OTHER = { org: 'acme', name: 'lily' };
const { revision, sha256 } = VECTORS.qwen3;
const NOWHERE = 'f'.repeat(64);

let layout: StoreLayout;
let catalog: DiskCatalog;

beforeEach(async () => {
  ({ layout, catalog } = emptyStore());
  await publish(layout, FIXTURES.qwen3);
});

describe('resolve', () => {
  test('by ref and by revision id', async () => {
    for (const name of ['main', revision]) {
      expect(await resolve(catalog, name)).toMatchObject({ model: MODEL, revision, manifestDigest: sha256 });
    }
  });

  test('a model that is not there: says which are', async () => {
    await publish(layout, FIXTURES['qwen2-tied'], { model: OTHER });
    await expect(
      catalog.resolve({ model: { org: 'acme', name: 'rosa' }, revision: 'main' }),
    ).rejects.toMatchObject({
      code: 'not-found',
      message: 'the store has no model acme/rosa',
      hint: 'it has acme/lily, acme/rose',
    });
  });

  test('a model in an empty store: says how to publish it', async () => {
    await expect(resolve(emptyStore().catalog)).rejects.toMatchObject({
      code: 'not-found',
      hint: 'publish it on the store: calyx add DIRECTORY --name acme/rose',
    });
  });

  test.each([
    'next',
    '0'.repeat(40),
    revision.slice(0, 12),
    `${revision}.json`,
    '../main',
    '../../refs/x',
    '',
  ])('the revision %j is not found, and the hint names the current one', async (name) => {
    await expect(resolve(catalog, name)).rejects.toMatchObject({
      code: 'not-found',
      message: `the model acme/rose has no revision or ref '${name}'`,
      hint: expect.stringContaining(revision) as unknown,
    });
  });

  test('what another one publishes or removes shows at once', async () => {
    const another = new DiskCatalog(layout);
    expect(await another.models()).toEqual([MODEL]);
    await publish(layout, FIXTURES['qwen2-tied'], { model: OTHER });
    expect(await another.models()).toEqual([OTHER, MODEL]);
    await publish(layout, FIXTURES['llama3-rope']);
    expect((await resolve(another)).revision).toBe(VECTORS['llama3-rope'].revision);
    expect((await another.revisions(MODEL)).sort()).toEqual(
      [revision, VECTORS['llama3-rope'].revision].sort(),
    );
    await removeModel(layout, catalog, MODEL);
    expect(await another.models()).toEqual([OTHER]);
    await expect(resolve(another)).rejects.toMatchObject({ code: 'not-found' });
    await expect(resolve(another, revision)).rejects.toMatchObject({ code: 'not-found' });
  });
});

describe('what is damaged', () => {
  test.each([
    '',
    '{',
    '[]',
    '{"revision":"main","generation":1,"manifest":"x"}',
    `{"revision":"${revision}"}`,
  ])(
    'a ref with the content %j is an error that names it, and other models stay readable',
    async (content) => {
      await publish(layout, FIXTURES['qwen2-tied'], { model: OTHER });
      writeFileSync(layout.ref(MODEL, 'main'), content);
      await expect(resolve(catalog)).rejects.toMatchObject({
        code: 'corrupt',
        message: expect.stringContaining(layout.ref(MODEL, 'main')) as unknown,
      });
      const fresh = new DiskCatalog(layout);
      expect(await fresh.models()).toEqual([OTHER, MODEL]);
      const { manifest } = await fresh.resolve({ model: OTHER, revision: 'main' });
      const blob = manifest.files[0]?.blob ?? '';
      expect(await fresh.locate(blob)).toBe(layout.blob(OTHER, blob));
    },
  );

  test('a record of a revision', async () => {
    writeFileSync(layout.revision(MODEL, revision), '{"manifest":"../../../etc/passwd"}');
    await expect(resolve(catalog, revision)).rejects.toMatchObject({ code: 'corrupt' });
  });

  test('a manifest whose bytes changed, even to a valid one', async () => {
    const path = layout.manifest(sha256);
    for (const bytes of [
      readFileSync(path).subarray(0, 99),
      `${readFileSync(path, 'utf8')} `,
      otherManifest(),
    ]) {
      writeFileSync(path, bytes);
      const expected = { code: 'corrupt', message: `${path} does not match its SHA-256` };
      await expect(resolve(new DiskCatalog(layout))).rejects.toMatchObject(expected);
      await expect(catalog.manifestBytes(sha256)).rejects.toMatchObject(expected);
    }
  });

  test('a manifest that is gone', async () => {
    rmSync(layout.manifest(sha256));
    await expect(resolve(catalog)).rejects.toMatchObject({ code: 'not-found' });
  });
});

test('manifestBytes gives the bytes of the vector', async () => {
  const expected = readFileSync(join(FIXTURES.qwen3, '../../../vectors/qwen3.manifest'));
  expect(Buffer.from(await catalog.manifestBytes(sha256)).equals(expected)).toBe(true);
  await expect(catalog.manifestBytes(NOWHERE)).rejects.toMatchObject({ code: 'not-found' });
});

describe('locate', () => {
  test('finds blobs of all models, and follows removal', async () => {
    await publish(layout, FIXTURES['qwen2-tied'], { model: OTHER });
    const own = (await resolve(catalog)).manifest.files
      .filter((file) => file.tensors.length > 0)
      .map((file) => file.blob);
    for (const blob of own) expect(await catalog.locate(blob)).toBe(layout.blob(MODEL, blob));
    await removeModel(layout, catalog, MODEL);
    expect(await Promise.all(own.map((blob) => catalog.locate(blob)))).toEqual(own.map(() => undefined));
  });

  test('finds the copy of another model when one is removed', async () => {
    await publish(layout, FIXTURES.qwen3, { model: OTHER });
    const [file] = (await resolve(catalog)).manifest.files;
    const blob = file?.blob ?? '';
    const first = await catalog.locate(blob);
    expect(first).toBe(layout.blob(OTHER, blob));
    await removeModel(layout, catalog, OTHER);
    expect(await catalog.locate(blob)).toBe(layout.blob(MODEL, blob));
  });

  test('nothing outside: neither by dots nor by the names of other files', async () => {
    const secret = join(dirname(layout.root), 'secret');
    writeFileSync(secret, 'secret');
    for (const name of [NOWHERE, '../refs/main', `../../../${basename(secret)}`, '.', '']) {
      expect(await catalog.locate(name)).toBeUndefined();
      await expect(catalog.manifestBytes(name)).rejects.toMatchObject({ code: 'not-found' });
    }
  });

  test('a blob that is only staged is not there', async () => {
    const { layout: empty, catalog: reader } = emptyStore();
    const { manifest } = await stage(empty, FIXTURES.qwen3);
    expect(await reader.locate(manifest.files[0]?.blob ?? '')).toBeUndefined();
  });
});

function otherManifest(): Buffer {
  return readFileSync(join(FIXTURES.qwen3, '../../../vectors/tiny-calyx.manifest'));
}
