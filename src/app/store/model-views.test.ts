import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { copyOfFixture, emptyStore, FIXTURES, publish, VECTORS } from '../../../test/support/catalog.js';
import { removeModel } from '../../catalog/remove.js';
import { walkTree } from '../../catalog/file-tree.js';
import { isCalyxError } from '../../core/errors.js';
import { formatModelName, parseModelName } from '../../core/names.js';
import { ModelViews } from './model-views.js';

const ROSE = parseModelName('acme/rose');
const LILY = parseModelName('other/lily');
const { sha256: MANIFEST } = VECTORS.qwen3;

/** Two models with files of their own, and one that both have. */
async function store() {
  const { layout, catalog } = emptyStore();
  await publish(layout, FIXTURES['qwen2-tied'], { model: ROSE });
  await publish(layout, FIXTURES.qwen3, { model: LILY });
  const blobOf = async (model: typeof ROSE): Promise<string> => {
    const { manifest } = await catalog.resolve({ model, revision: 'main' });
    return manifest.files.find(({ tensors }) => tensors.length > 0)?.blob ?? '';
  };
  const views = new ModelViews(catalog);
  const acme = views.of({ models: 'acme/*' });
  return { layout, catalog, views, acme, rose: await blobOf(ROSE), lily: await blobOf(LILY) };
}

async function failure(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return isCalyxError(error) ? `${error.code}: ${error.message} (${error.hint ?? ''})` : 'none';
}

describe('ModelViews', () => {
  it('shows all to who may see all, without a look at anything', async () => {
    const { views, catalog, lily } = await store();
    const all = views.of({ models: '*' });
    expect(all.catalog).toBe(catalog);
    expect(await all.blobSize(lily)).toBeGreaterThan(0);
    expect((await all.manifestBytes(MANIFEST)).byteLength).toBe(VECTORS.qwen3.bytes);
  });

  it('shows blobs and manifests of the models of a grant, and no others', async () => {
    const { acme, views, rose, lily } = await store();
    expect(await acme.blobSize(rose)).toBeGreaterThan(0);
    expect(await acme.blobSize(lily)).toBeUndefined();
    expect(await acme.blobSize('..')).toBeUndefined();
    const missing = '0'.repeat(64);
    const said = await failure(acme.manifestBytes(MANIFEST));
    expect(said).toBe(
      (await failure(views.of({ models: '*' }).manifestBytes(missing))).replace(missing, MANIFEST),
    );
    const other = views.of({ models: 'other/lily' });
    expect((await other.manifestBytes(MANIFEST)).byteLength).toBe(VECTORS.qwen3.bytes);
    expect(await other.blobSize(lily)).toBeGreaterThan(0);
    expect(await other.blobSize(rose)).toBeUndefined();
  });

  it('shows their trees and names, and no others', async () => {
    const { acme } = await store();
    expect((await acme.catalog.models()).map(formatModelName)).toEqual(['acme/rose']);
    expect(await walkTree(acme.tree, ['models', 'acme', 'rose', 'config.json'])).toBeDefined();
    expect(await walkTree(acme.tree, ['models', 'other', 'lily', 'config.json'])).toBeUndefined();
    expect(await walkTree(acme.tree, ['hub', 'models--other--lily'])).toBeUndefined();
  });

  it('speaks of hidden models as of those that do not exist, and names none of them', async () => {
    const { acme } = await store();
    const resolve = (name: string) =>
      failure(acme.catalog.resolve({ model: parseModelName(name), revision: 'main' }));
    const hidden = await resolve('other/lily');
    expect(hidden).toMatch(/^not-found: the store has no model other\/lily \(it has acme\/rose\)$/);
    expect(await resolve('other/none')).toBe(hidden.replace('lily', 'none'));
    expect(await resolve('acme/none')).toBe(hidden.replace('other/lily', 'acme/none'));
  });

  it('shows none to a pattern that cannot be read', async () => {
    const { views, rose } = await store();
    const view = views.of({ models: '-/-' });
    expect([await view.catalog.models(), await view.blobSize(rose)]).toEqual([[], undefined]);
    expect(await views.of({ models: '(' }).catalog.models()).toEqual([]);
  });

  it('follows what is published and removed', async () => {
    const { layout, catalog, acme, lily, rose } = await store();
    expect([await acme.blobSize(lily), (await acme.blobSize(rose)) !== undefined]).toEqual([undefined, true]);
    await publish(layout, FIXTURES.qwen3, { model: parseModelName('acme/copy') });
    expect(await acme.blobSize(lily)).toBeGreaterThan(0);
    expect((await acme.manifestBytes(MANIFEST)).byteLength).toBe(VECTORS.qwen3.bytes);
    await removeModel(layout, catalog, parseModelName('acme/copy'));
    expect(await acme.blobSize(lily)).toBeUndefined();
    expect(await failure(acme.manifestBytes(MANIFEST))).toContain('not-found');
    // It comes back with other content.
    const changed = copyOfFixture('qwen2-tied');
    writeFileSync(join(changed, 'NOTES'), 'other');
    await publish(layout, changed, { model: parseModelName('acme/copy') });
    expect(await acme.blobSize(lily)).toBeUndefined();
    expect(await failure(acme.manifestBytes(MANIFEST))).toContain('not-found');
  });

  it('a model without refs is gone, though its files are still there', async () => {
    const { layout, acme, rose } = await store();
    expect(await acme.blobSize(rose)).toBeGreaterThan(0);
    rmSync(layout.refs(ROSE), { recursive: true });
    expect(await acme.blobSize(rose)).toBeUndefined();
  });
});
