import {
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { isAbsolute, join } from 'node:path';
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
  type FixtureName,
} from '../../test/support/catalog.js';
import { preferPython, python, requirePython } from '../../test/support/python.js';
import { publishStaged } from './publish.js';
import type { StoreLayout } from './store-layout.js';

const NAMES = Object.keys(FIXTURES) as FixtureName[];

/** All files and links under a directory, by their paths in it. */
function treeOf(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((path) => !lstatSync(join(directory, path)).isDirectory())
    .sort();
}

/** Checks the Hugging Face cache folder of the model, with sha256sum as the only judge. */
function expectHubCache(layout: StoreLayout, source: string, revision: string): void {
  const files = readdirSync(source);
  const digests = sha256sum(files.map((file) => join(source, file)));
  const blobs = [...new Set(digests.values())];
  expect(readFileSync(join(layout.root, 'models--acme--rose/refs/main'), 'utf8')).toBe(revision);
  expect(treeOf(layout.model(MODEL))).toEqual(
    [
      ...blobs.map((blob) => `blobs/${blob}`),
      'refs/main',
      ...files.map((file) => `snapshots/${revision}/${file}`),
    ].sort(),
  );
  for (const file of files) {
    const link = join(layout.model(MODEL), 'snapshots', revision, file);
    const digest = digests.get(join(source, file));
    expect(readlinkSync(link)).toBe(`../../blobs/${digest ?? ''}`);
    expect(isAbsolute(readlinkSync(link))).toBe(false);
  }
  const stored = sha256sum(blobs.map((blob) => layout.blob(MODEL, blob)));
  expect([...stored].map(([path, digest]) => path.endsWith(`/${digest}`))).toEqual(blobs.map(() => true));
}

describe('publishing', () => {
  test.each(NAMES)('%s gives the revision and the cache folder that others compute', async (name) => {
    const { layout, catalog } = emptyStore();
    const published = await publish(layout, FIXTURES[name]);
    const { revision, sha256 } = VECTORS[name];
    expect(published).toEqual({
      moved: true,
      ref: { revision, generation: 1, manifest: sha256 },
      importedBytes: directoryBytes(FIXTURES[name]),
    });
    expect(sha256sum([layout.manifest(sha256)]).get(layout.manifest(sha256))).toBe(sha256);
    expectHubCache(layout, FIXTURES[name], revision);
    expect(await catalog.models()).toEqual([MODEL]);
    // Nothing is left of the staging.
    expect(readdirSync(join(layout.own, 'staging'))).toEqual([]);
  });

  test('other readers of the cache layout take it as it is', async (context) => {
    requirePython(context, 'safetensors.numpy', 'numpy');
    const { layout } = emptyStore();
    await publish(layout, FIXTURES['mistral-f32']);
    const script = `
import json, os, sys, hashlib
from safetensors import safe_open
root, source = json.load(sys.stdin)
folder = os.path.join(root, "models--acme--rose")
snapshot = os.path.join(folder, "snapshots", open(os.path.join(folder, "refs", "main")).read())
same = []
with safe_open(os.path.join(snapshot, "model.safetensors"), "np") as ours:
    with safe_open(os.path.join(source, "model.safetensors"), "np") as theirs:
        assert list(ours.keys()) == list(theirs.keys())
        for name in theirs.keys():
            same.append(ours.get_tensor(name).tobytes() == theirs.get_tensor(name).tobytes())
print(json.dumps([len(same), all(same)]))
`;
    // 4 blocks of 9 tensors, the embeddings, the norm and the head.
    expect(python(script, [layout.root, FIXTURES['mistral-f32']])).toEqual([39, true]);
  });

  test("huggingface_hub's own scanner finds nothing wrong", async (context) => {
    preferPython(context, 'huggingface_hub');
    const { layout } = emptyStore();
    await publish(layout, FIXTURES.qwen3);
    const script = `
import json, sys
from huggingface_hub import scan_cache_dir
info = scan_cache_dir(json.load(sys.stdin))
print(json.dumps({"repos": [[r.repo_id, r.nb_files, r.size_on_disk] for r in info.repos],
    "refs": [[ref, rev.commit_hash] for r in info.repos for rev in r.revisions for ref in rev.refs],
    "warnings": [str(w) for w in info.warnings if ".calyx" not in str(w)]}))
`;
    expect(python(script, layout.root)).toEqual({
      repos: [['acme/rose', 10, directoryBytes(FIXTURES.qwen3)]],
      refs: [['main', VECTORS.qwen3.revision]],
      warnings: [],
    });
  });
});

describe('publishing again', () => {
  test('the same content does not move the ref', async () => {
    const { layout } = emptyStore();
    const first = await publish(layout, FIXTURES.qwen3);
    const second = await publish(layout, FIXTURES.qwen3);
    expect(second).toMatchObject({ moved: false, ref: first.ref });
    expectHubCache(layout, FIXTURES.qwen3, VECTORS.qwen3.revision);
  });

  test('changed content moves it by one, and both revisions stay readable', async () => {
    const { layout, catalog } = emptyStore();
    const source = copyOfFixture('qwen3');
    await publish(layout, source);
    writeFileSync(join(source, 'config.json'), `${readFileSync(join(source, 'config.json'), 'utf8')}\n`);
    const { ref, moved } = await publish(layout, source);
    expect({ moved, generation: ref.generation }).toEqual({ moved: true, generation: 2 });
    expect((await catalog.revisions(MODEL)).sort()).toEqual([VECTORS.qwen3.revision, ref.revision].sort());
    for (const [revision, directory] of [
      [VECTORS.qwen3.revision, FIXTURES.qwen3],
      [ref.revision, source],
    ] as const) {
      const { manifest } = await resolve(catalog, revision);
      for (const file of manifest.files) {
        const expected = readFileSync(join(directory, file.path));
        expect(readFileSync(layout.blob(MODEL, file.blob)).equals(expected)).toBe(true);
        expect(readFileSync(join(layout.snapshot(MODEL, revision), file.path)).equals(expected)).toBe(true);
      }
    }
    expect(readFileSync(layout.hubRef(MODEL, 'main'), 'utf8')).toBe(ref.revision);
  });

  test('older content moves the ref too: the generation only grows', async () => {
    const { layout } = emptyStore();
    await publish(layout, FIXTURES.qwen3);
    await publish(layout, FIXTURES['qwen2-tied']);
    const { ref } = await publish(layout, FIXTURES.qwen3);
    expect(ref).toMatchObject({ revision: VECTORS.qwen3.revision, generation: 3 });
  });

  test('repairs a blob that was damaged', async () => {
    const { layout } = emptyStore();
    await publish(layout, FIXTURES.qwen3);
    const { blob } = blobOf(layout, 'model-00003-of-00006.safetensors');
    const bytes = readFileSync(blob);
    bytes[70_000] = (bytes[70_000] ?? 0) ^ 1;
    writeFileSync(blob, bytes);
    await publish(layout, FIXTURES.qwen3);
    expectHubCache(layout, FIXTURES.qwen3, VECTORS.qwen3.revision);
  });

  test('puts right what is missing or wrong in a snapshot', async () => {
    const { layout } = emptyStore();
    await publish(layout, FIXTURES.qwen3);
    const snapshot = layout.snapshot(MODEL, VECTORS.qwen3.revision);
    rmSync(join(snapshot, 'config.json'));
    rmSync(join(snapshot, 'golden.json'));
    symlinkSync('../../blobs/elsewhere', join(snapshot, 'golden.json'));
    await publish(layout, FIXTURES.qwen3);
    expectHubCache(layout, FIXTURES.qwen3, VECTORS.qwen3.revision);
  });

  test('puts a Hub ref right that a kill left behind', async () => {
    const { layout } = emptyStore();
    await publish(layout, FIXTURES.qwen3);
    rmSync(layout.hubRef(MODEL, 'main'));
    await publish(layout, FIXTURES.qwen3);
    expectHubCache(layout, FIXTURES.qwen3, VECTORS.qwen3.revision);
  });
});

describe('publishStaged refuses', () => {
  test('when nothing is staged', async () => {
    const { layout, catalog } = emptyStore();
    await expect(publishStaged(layout, MODEL)).rejects.toMatchObject({ code: 'not-found' });
    expect(await catalog.models()).toEqual([]);
  });

  test.each([
    ['is missing', (path: string) => rmSync(path)],
    ['is cut off', (path: string) => writeFileSync(path, readFileSync(path).subarray(1))],
  ])('when a staged blob %s', async (_, damage) => {
    const { layout, catalog } = emptyStore();
    const { manifest } = await stage(layout, FIXTURES.qwen3);
    damage(join(layout.staging(MODEL), 'blobs', manifest.files.at(-1)?.blob ?? ''));
    await expect(publishStaged(layout, MODEL)).rejects.toMatchObject({
      code: 'corrupt',
      message: expect.stringContaining('model.safetensors.index.json') as unknown,
    });
    expect(await catalog.models()).toEqual([]);
    // The next run mends it.
    await publish(layout, FIXTURES.qwen3);
    expectHubCache(layout, FIXTURES.qwen3, VECTORS.qwen3.revision);
  });

  test('when the staged manifest is damaged', async () => {
    const { layout, catalog } = emptyStore();
    await stage(layout, FIXTURES.qwen3);
    const path = join(layout.staging(MODEL), 'manifest.json');
    writeFileSync(path, readFileSync(path).subarray(0, 5000));
    await expect(publishStaged(layout, MODEL)).rejects.toMatchObject({ code: 'corrupt' });
    expect(await catalog.models()).toEqual([]);
  });
});

function blobOf(layout: StoreLayout, file: string): { blob: string; size: number } {
  const link = join(layout.snapshot(MODEL, VECTORS.qwen3.revision), file);
  return { blob: join(link, '..', readlinkSync(link)), size: statSync(link).size };
}
