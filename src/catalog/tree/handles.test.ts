import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { emptyStore, FIXTURES, MODEL, publish, VECTORS } from '../../../test/support/catalog.js';
import { CachedCatalog } from '../cached-catalog.js';
import type { DiskCatalog } from '../catalog-reader.js';
import { FilteredCatalog } from '../filtered-catalog.js';
import { walkTree, type Directory, type FileTree, type TreeNode } from '../file-tree.js';
import { removeModel } from '../remove.js';
import type { StoreLayout } from '../store-layout.js';
import { catalogTree } from './catalog-tree.js';
import { decodeHandle } from './handle.js';

const OTHER = { org: 'zeta', name: 'lily.1' };
const ROSE = VECTORS['tiny-calyx'].revision;

let layout: StoreLayout;
let catalog: DiskCatalog;
let tree: FileTree;

beforeEach(async () => {
  ({ layout, catalog } = emptyStore());
  await publish(layout, FIXTURES['tiny-calyx']);
  await publish(layout, FIXTURES['qwen2-tied'], { model: OTHER });
  tree = catalogTree(catalog);
});

async function at(path: string, from: FileTree = tree): Promise<TreeNode> {
  return (await walkTree(from.root, path.split('/'))) ?? expect.fail(`there is no ${path}`);
}

/** Every node that the listings lead to, and slices that no listing shows. */
async function allNodes(from: FileTree): Promise<Map<string, TreeNode>> {
  const found = new Map<string, TreeNode>();
  const visit = async (directory: Directory, path: string): Promise<void> => {
    found.set(path, directory);
    const names = [...(await directory.list())];
    if (/^slices\/[^/]+\/[^/]+\/$/.test(path)) names.push('1-3', '0-2+embed', '2-4+head');
    for (const name of names) {
      const node = (await directory.lookup(name)) ?? expect.fail(`there is no ${path}${name}`);
      if (node.kind === 'directory') await visit(node, `${path}${name}/`);
      else found.set(`${path}${name}`, node);
    }
  };
  await visit(from.root, '');
  return found;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** What a client keeps of a node. */
async function seen(node: TreeNode): Promise<unknown> {
  const { change, time } = await node.version();
  return {
    kind: node.kind,
    handle: hex(node.handle),
    fileId: node.fileId,
    change,
    time,
    shows: node.kind === 'file' ? node.segments : await node.list(),
  };
}

test('a handle leads back to its node, also on another replica', async () => {
  const replica = emptyStore();
  // In the other order, at another place.
  await publish(replica.layout, FIXTURES['qwen2-tied'], { model: OTHER });
  await publish(replica.layout, FIXTURES['tiny-calyx']);
  const other = catalogTree(new CachedCatalog(replica.catalog));
  const nodes = await allNodes(tree);
  expect(nodes.size).toBeGreaterThan(150);
  for (const [path, node] of nodes) {
    expect(node.handle.byteLength, path).toBeLessThanOrEqual(64);
    const again = (await tree.find(node.handle)) ?? expect.fail(path);
    const there = (await other.find(node.handle)) ?? expect.fail(path);
    expect(await seen(again), path).toEqual(await seen(node));
    expect(await seen(there), path).toEqual(await seen(node));
    if (node.kind === 'file' || again.kind === 'file' || there.kind === 'file') continue;
    expect((await there.parent())?.handle, path).toEqual((await node.parent())?.handle);
  }
});

test('the parent of each directory shows it', async () => {
  for (const [path, node] of await allNodes(tree)) {
    if (node.kind !== 'directory' || path === '') continue;
    const name = path.split('/').at(-2) ?? '';
    const parent = (await node.parent()) ?? expect.fail(path);
    expect((await parent.lookup(name))?.handle, path).toEqual(node.handle);
  }
  expect(await tree.root.parent()).toBe(tree.root);
});

test('nodes of one handle have one content, and directories one path', async () => {
  const directories = new Map<string, string>();
  const files = new Map<string, unknown>();
  const ids = new Map<bigint, string>();
  for (const [path, node] of await allNodes(tree)) {
    const handle = hex(node.handle);
    expect(ids.get(node.fileId) ?? handle, path).toBe(handle);
    ids.set(node.fileId, handle);
    if (node.kind === 'directory') {
      expect(directories.get(handle), path).toBeUndefined();
      directories.set(handle, path);
    } else {
      expect(node.segments, path).toEqual(files.get(handle) ?? node.segments);
      files.set(handle, node.segments);
    }
  }
});

test('a file is one node under all its paths', async () => {
  const { handle } = await at('models/acme/rose/config.json');
  for (const path of [
    `models/acme/rose@${ROSE}/config.json`,
    `hub/models--acme--rose/snapshots/${ROSE}/config.json`,
    'slices/acme/rose/0-2+embed/config.json',
  ])
    expect((await at(path)).handle).toEqual(handle);
  const part = await at('slices/acme/rose/0-2/block-00001.safetensors');
  expect((await at(`slices/acme/rose@${ROSE}/1-4+head/block-00001.safetensors`)).handle).toEqual(part.handle);
});

test('the form of a handle', async () => {
  const model = createHash('sha256').update('acme/rose').digest('hex').slice(0, 16);
  const { handle } = await at('slices/acme/rose/1-3+embed');
  // Version 1, a slice that was reached through the ref, with embeddings, blocks 1 to 3.
  expect(hex(handle)).toBe(
    `01073000000000010000000300000000${model}${ROSE.slice(0, 24)}${VECTORS['tiny-calyx'].sha256.slice(0, 16)}`,
  );
});

test('what is removed is gone for all its handles', async () => {
  const nodes = await allNodes(tree);
  await removeModel(layout, catalog, MODEL);
  for (const [path, node] of nodes) {
    const mine = path.includes('rose') || path.includes('acme');
    expect((await tree.find(node.handle)) === undefined, path).toBe(mine);
  }
});

test('a moved ref changes what followed it, and nothing else', async () => {
  const before = new Map<string, unknown>();
  const nodes = await allNodes(tree);
  for (const [path, node] of nodes) before.set(path, await seen(node));
  await publish(layout, FIXTURES['llama3-rope']);
  const changed: string[] = [];
  for (const [path, node] of nodes) {
    const now = (await tree.find(node.handle)) ?? expect.fail(path);
    const [a, b] = [before.get(path) as { change: bigint; time: object }, await now.version()];
    if (a.change !== b.change) {
      changed.push(path);
      expect(b.time).not.toEqual(a.time);
    }
  }
  expect(changed).toEqual([
    'models/acme/',
    'models/acme/rose/',
    'hub/models--acme--rose/refs/',
    'hub/models--acme--rose/snapshots/',
    'slices/acme/',
    'slices/acme/rose/',
  ]);
  const current = (await at('models/acme/rose')) as Directory;
  expect((await current.version()).change).toBeGreaterThan(
    (before.get('models/acme/rose/') as { change: bigint }).change,
  );
});

test('a model that is hidden has no handles', async () => {
  const some = catalogTree(new FilteredCatalog(new CachedCatalog(catalog), ({ org }) => org === 'zeta'));
  for (const [path, node] of await allNodes(tree)) {
    const hidden = path.includes('rose') || path.includes('acme');
    expect((await some.find(node.handle)) === undefined, path).toBe(hidden);
  }
  const models = (await at('models', some)) as Directory;
  expect(await models.list()).toEqual(['zeta']);
});

describe('handles from strangers', () => {
  test('of any bytes are refused or lead nowhere', async () => {
    const handles = [...(await allNodes(tree)).values()].map((node) => node.handle);
    const mutated = fc
      .tuple(fc.constantFrom(...handles), fc.array(fc.tuple(fc.nat(43), fc.nat(255)), { maxLength: 3 }))
      .map(([handle, changes]) => {
        const bytes = Uint8Array.from(handle);
        for (const [index, value] of changes) bytes[index] = value;
        return bytes;
      });
    await fc.assert(
      fc.asyncProperty(fc.oneof(mutated, fc.uint8Array({ maxLength: 64 })), async (handle) => {
        try {
          decodeHandle(handle);
        } catch {
          await expect(async () => tree.find(handle)).rejects.toMatchObject({ code: 'usage' });
          return;
        }
        const node = await tree.find(handle);
        if (node !== undefined) expect(hex(node.handle)).toBe(hex(handle));
      }),
      { numRuns: 5000 },
    );
  });

  test.each([
    ['a range that ends before it begins', '0000000300000001'],
    ['a range beyond the model', '00000000ffffffff'],
  ])('%s leads nowhere', async (_, range) => {
    const bytes = Buffer.from((await at('slices/acme/rose/1-3')).handle);
    bytes.write(range, 4, 'hex');
    expect(await tree.find(bytes)).toBeUndefined();
  });
});

test('the cache of the catalog shows changes at once when told, and soon when not', async () => {
  let now = 0;
  const clock = { now: () => now, sleep: () => Promise.resolve() };
  const cached = new CachedCatalog(catalog, { freshMs: 500, clock });
  const fresh = catalogTree(cached);
  const kept = (await at('models/acme', fresh)) as Directory;
  expect(await kept.lookup('iris')).toBeUndefined();
  await publish(layout, FIXTURES.qwen3, { model: { org: 'acme', name: 'iris' } });
  now = 499;
  expect(await kept.lookup('iris')).toBeUndefined();
  now = 500;
  expect(await kept.lookup('iris')).toBeDefined();
  await removeModel(layout, catalog, { org: 'acme', name: 'iris' });
  expect(await kept.lookup('iris')).toBeDefined();
  cached.invalidate();
  expect(await kept.lookup('iris')).toBeUndefined();
});
