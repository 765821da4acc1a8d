import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { copyOfFixture, emptyStore, FIXTURES, MODEL, publish, resolve } from '../../test/support/catalog.js';
import { removeModel } from './remove.js';
import type { DiskCatalog } from './catalog-reader.js';
import type { StoreLayout } from './store-layout.js';

const OTHER = { org: 'acme', name: 'lily' };
const THIRD = { org: 'acme', name: 'iris' };
const WEIGHTS = 'model-00001-of-00006.safetensors';

/** Bytes that a directory takes, as du says: a file with several names counts once. */
function diskBytes(path: string): number {
  return Number(execFileSync('du', ['-s', '--bytes', path], { encoding: 'utf8' }).split('\t')[0]);
}

async function blobOf(catalog: DiskCatalog, layout: StoreLayout, model = MODEL): Promise<string> {
  const { manifest } = await catalog.resolve({ model, revision: 'main' });
  return layout.blob(model, manifest.file(WEIGHTS)?.blob ?? '');
}

const content = readFileSync(join(FIXTURES.qwen3, WEIGHTS));

test('models with equal files take their space once', async () => {
  const { layout, catalog } = emptyStore();
  await publish(layout, FIXTURES.qwen3);
  const blobs = readdirSync(layout.blobs(MODEL)).reduce((sum, name) => sum + statSync(layout.blob(MODEL, name)).size, 0);
  const one = diskBytes(layout.root);
  await publish(layout, FIXTURES.qwen3, { model: OTHER });
  await publish(layout, FIXTURES.qwen3, { model: THIRD });
  // Directories and links are all that the others add.
  expect(diskBytes(layout.root) - one).toBeLessThan(blobs / 2);
  for (const model of [MODEL, OTHER, THIRD]) {
    const path = await blobOf(catalog, layout, model);
    expect(statSync(path).nlink).toBe(3);
    expect(readFileSync(path).equals(content)).toBe(true);
  }
}); // prettier-ignore

test('removing one frees nothing and leaves the other, whose removal frees all', async () => {
  const { layout, catalog } = emptyStore();
  await publish(layout, FIXTURES.qwen3);
  await publish(layout, FIXTURES.qwen3, { model: OTHER });
  expect((await removeModel(layout, catalog, MODEL)).bytes).toBe(0);
  expect(readFileSync(await blobOf(catalog, layout, OTHER)).equals(content)).toBe(true);
  expect((await removeModel(layout, catalog, OTHER)).bytes).toBeGreaterThan(content.byteLength);
});

test('damage of one is not spread, and is repaired by whoever is added', async () => {
  const { layout, catalog } = emptyStore();
  await publish(layout, FIXTURES.qwen3);
  // Of the same size: only its digest tells.
  writeFileSync(await blobOf(catalog, layout), Buffer.alloc(content.byteLength));
  await publish(layout, FIXTURES.qwen3, { model: OTHER });
  for (const model of [MODEL, OTHER])
    expect(readFileSync(await blobOf(catalog, layout, model)).equals(content)).toBe(true);
});

test('damage that they share is repaired in both by a re-add of one', async () => {
  const { layout, catalog } = emptyStore();
  await publish(layout, FIXTURES.qwen3);
  await publish(layout, FIXTURES.qwen3, { model: OTHER });
  writeFileSync(await blobOf(catalog, layout), Buffer.alloc(content.byteLength));
  expect(readFileSync(await blobOf(catalog, layout, OTHER)).equals(content)).toBe(false);
  await publish(layout, FIXTURES.qwen3);
  for (const model of [MODEL, OTHER])
    expect(readFileSync(await blobOf(catalog, layout, model)).equals(content)).toBe(true);
});

test("a link to somebody's original is not handed to other models", async () => {
  const { layout, catalog } = emptyStore();
  await publish(layout, FIXTURES.qwen3);
  const original = copyOfFixture('qwen3');
  await publish(layout, original, { model: OTHER, mode: 'link' });
  writeFileSync(join(original, WEIGHTS), Buffer.alloc(content.byteLength));
  expect(readFileSync(await blobOf(catalog, layout)).equals(content)).toBe(true);
  expect((await resolve(catalog)).manifest.files.length).toBeGreaterThan(5);
});
