import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  copyOfFixture,
  emptyStore,
  FIXTURES,
  MODEL,
  materialize,
  publish,
  VECTORS,
} from '../../../test/support/catalog.js';
import type { DiskCatalog } from '../catalog-reader.js';
import { walkTree, type Directory, type TreeFile } from '../file-tree.js';
import { removeModel } from '../remove.js';
import type { StoreLayout } from '../store-layout.js';
import { catalogTree } from './catalog-tree.js';

const OTHER = { org: 'zeta', name: 'lily.1' };
const ROSE = VECTORS['tiny-calyx'].revision;
const LILY = VECTORS['qwen2-tied'].revision;

let layout: StoreLayout;
let catalog: DiskCatalog;
let root: Directory;

beforeEach(async () => {
  ({ layout, catalog } = emptyStore());
  await publish(layout, FIXTURES['tiny-calyx']);
  await publish(layout, FIXTURES['qwen2-tied'], { model: OTHER });
  root = catalogTree(catalog).root;
});

const list = async (path: string): Promise<readonly string[] | undefined> => {
  const node = await walkTree(root, path === '' ? [] : path.split('/'));
  return node?.kind === 'directory' ? node.list() : undefined;
};

async function content(path: string): Promise<Buffer | undefined> {
  const node = await walkTree(root, path.split('/'));
  if (node?.kind !== 'file') return undefined;
  return contentOf(node, path.includes('lily') ? OTHER : MODEL);
}

function contentOf(file: TreeFile, model: typeof MODEL): Buffer {
  const bytes = materialize(file.segments, (blob) => layout.blob(model, blob));
  expect(bytes.byteLength).toBe(file.size);
  return bytes;
}

/** All files under a directory that its listings lead to. */
async function walk(directory: Directory, prefix = ''): Promise<Map<string, TreeFile>> {
  const found = new Map<string, TreeFile>();
  for (const name of await directory.list()) {
    const node = await directory.lookup(name);
    if (node === undefined) throw new Error(`${prefix}${name} is listed but does not exist`);
    if (node.kind === 'file') found.set(`${prefix}${name}`, node);
    else for (const [path, file] of await walk(node, `${prefix}${name}/`)) found.set(path, file);
  }
  return found;
}

test('what the directories list', async () => {
  expect(await list('')).toEqual(['models', 'hub', 'slices']);
  expect(await list('models')).toEqual(['acme', 'zeta']);
  expect(await list('models/acme')).toEqual(['rose', `rose@${ROSE}`]);
  expect(await list('models/zeta')).toEqual(['lily.1', `lily.1@${LILY}`]);
  expect(await list('models/zeta/lily.1')).toEqual(readdirSync(FIXTURES['qwen2-tied']).sort());
  expect(await list('hub')).toEqual(['models--acme--rose', 'models--zeta--lily.1']);
  expect(await list('hub/models--acme--rose')).toEqual(['refs', 'snapshots']);
  expect(await list('hub/models--acme--rose/refs')).toEqual(['main']);
  expect(await list('hub/models--acme--rose/snapshots')).toEqual([ROSE]);
  expect(await list('slices')).toEqual(['acme', 'zeta']);
  expect(await list('slices/acme')).toEqual(['rose', `rose@${ROSE}`]);
  expect(await list('slices/zeta/lily.1')).toEqual(['0-1', '1-2', '2-3', '3-4', '4-5', '0-5+embed+head']);
});

test('models/ and hub/ show every file with the bytes of its source, and nothing else', async () => {
  const seen = await walk(root);
  const expected: string[] = [];
  for (const [model, folder, source, revision] of [
    [MODEL, 'models--acme--rose', FIXTURES['tiny-calyx'], ROSE],
    [OTHER, 'models--zeta--lily.1', FIXTURES['qwen2-tied'], LILY],
  ] as const) {
    const path = `models/${model.org}/${model.name}`;
    for (const directory of [path, `${path}@${revision}`, `hub/${folder}/snapshots/${revision}`]) {
      for (const name of readdirSync(source)) {
        const file = seen.get(`${directory}/${name}`) ?? expect.fail(`${directory}/${name}`);
        expect(contentOf(file, model).equals(readFileSync(join(source, name)))).toBe(true);
        expected.push(`${directory}/${name}`);
      }
    }
    const ref = `hub/${folder}/refs/main`;
    expect(contentOf(seen.get(ref) ?? expect.fail(ref), model).toString()).toBe(revision);
    expected.push(ref);
  }
  const shown = [...seen.keys()].filter((path) => !path.startsWith('slices/'));
  expect(shown.sort()).toEqual(expected.sort());
});

test.each([
  'models/acme/rose@',
  'models/acme/rose@@',
  `models/acme/rose@${ROSE}@main`,
  `models/acme/rose@${ROSE.slice(0, 39)}`,
  `models/acme/rose@${ROSE.toUpperCase()}`,
  `models/acme/rose@${LILY}`,
  `models/acme/@${ROSE}`,
  'models/acme/@',
  'models/acme/rose%40main',
  'models/acme/%72ose',
  'models/acme/..',
  'models/acme/.',
  'models/acme/',
  'models/..',
  'models/acme/lily.1',
  'models/acme%2Frose',
  'models/acme/Rose',
  'models/acme/rose/..',
  'models/acme/rose/../rose/config.json',
  'models/acme/rose/config.json/x',
  'models/acme/rose/__proto__',
  'models/acme--rose',
  'hub/models--acme--rose@main',
  'hub/models--acme--rose--x',
  'hub/models--acme--..',
  'hub/models--..--rose',
  'hub/models--acme--rose/blobs',
  'hub/models--acme--rose/refs/..',
  'hub/models--acme--rose/refs/main.json',
  'hub/models--acme--rose/snapshots/main',
  `hub/models--acme--rose/snapshots/${LILY}`,
  `hub/models--acme--rose/snapshots/${ROSE}@main`,
  'slices/acme/rose',
  '.calyx',
])('%s', async (path) => {
  const node = await walkTree(root, path.split('/'));
  // One of the list exists, so that the list itself is known to be walked as it should.
  expect(node?.kind).toBe(path === 'slices/acme/rose' ? 'directory' : undefined);
});

test('NAME follows the ref, NAME@REVISION does not', async () => {
  const kept = (await walkTree(root, ['models', 'acme'])) as Directory;
  await publish(layout, FIXTURES['llama3-rope']);
  const next = readFileSync(join(FIXTURES['llama3-rope'], 'config.json'), 'utf8');
  const before = readFileSync(join(FIXTURES['tiny-calyx'], 'config.json'), 'utf8');
  expect((await content('models/acme/rose/config.json'))?.toString()).toBe(next);
  expect((await content(`models/acme/rose@${ROSE}/config.json`))?.toString()).toBe(before);
  expect((await content('hub/models--acme--rose/refs/main'))?.toString()).toBe(
    VECTORS['llama3-rope'].revision,
  );
  const file = await walkTree(kept, ['rose', 'config.json']);
  expect(file?.kind === 'file' ? contentOf(file, MODEL).toString() : '').toBe(next);
});

test('a directory that is kept open shows what is published and removed later', async () => {
  const kept = (await walkTree(root, ['models', 'acme'])) as Directory;
  const refs = (await walkTree(root, ['hub', 'models--acme--rose', 'refs'])) as Directory;
  await publish(layout, FIXTURES.qwen3, { model: { org: 'acme', name: 'iris' } });
  expect(await kept.list()).toEqual(['iris', `iris@${VECTORS.qwen3.revision}`, 'rose', `rose@${ROSE}`]);
  expect(await kept.lookup('iris')).toBeDefined();
  await removeModel(layout, catalog, MODEL);
  expect(await kept.lookup('rose')).toBeUndefined();
  expect(await refs.list()).toEqual([]);
  expect(await list('models/acme')).toEqual(['iris', `iris@${VECTORS.qwen3.revision}`]);
});

describe('files in directories', () => {
  test('stand where their paths say', async () => {
    const source = copyOfFixture('qwen3');
    for (const path of ['onnx/a/model.txt', 'onnx/b.txt', 'onnx-x.txt']) {
      mkdirSync(join(source, path, '..'), { recursive: true });
      writeFileSync(join(source, path), path);
    }
    await publish(layout, source);
    expect(await list('models/acme/rose/onnx')).toEqual(['a', 'b.txt']);
    expect((await list('models/acme/rose'))?.filter((name) => name.startsWith('onnx'))).toEqual([
      'onnx-x.txt',
      'onnx',
    ]);
    expect((await content('models/acme/rose/onnx/a/model.txt'))?.toString()).toBe('onnx/a/model.txt');
    expect(await content('models/acme/rose/onnx/a')).toBeUndefined();
    expect(await content('models/acme/rose/onnx/onnx/b.txt')).toBeUndefined();
  });
});

test('a slice is laid out once for the requests that follow each other', async () => {
  const first = await walkTree(root, ['slices', 'acme', 'rose', '0-2', 'block-00000.safetensors']);
  expect(first).toBeDefined();
  expect(await walkTree(root, ['slices', 'acme', 'rose', '0-2', 'block-00000.safetensors'])).toBe(first);
});
