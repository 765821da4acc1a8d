import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  copyOfFixture,
  directoryBytes,
  emptyStore,
  FIXTURES,
  MODEL,
  publish,
  resolve,
  stage,
} from '../../../test/support/catalog.js';
import { DiskCatalog } from '../catalog-reader.js';
import { pinRevision } from '../pins.js';
import type { StoreLayout } from '../store-layout.js';
import { collectGarbage, type GarbageOptions, type GarbageReport } from './collect-garbage.js';

const OTHER = { org: 'acme', name: 'lily' };
const DAY_MS = 24 * 3600 * 1000;

function collect(layout: StoreLayout, catalog: DiskCatalog, options: Partial<GarbageOptions> = {}): Promise<GarbageReport> {
  return collectGarbage(layout, catalog, {
    usersOf: () => [],
    lock: () => Promise.resolve(() => Promise.resolve()),
    onForgotten: () => undefined,
    onRemoved: () => Promise.resolve(),
    ...options,
  });
} // prettier-ignore

/** All files of a store, with their sizes; directories and links by their names alone. */
function allFiles(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return entry.isFile() ? `${path} ${statSync(path).size}` : path;
    })
    .filter((line) => !line.includes('.sock'))
    .sort();
}

/** Three revisions: of each only `note.txt` is its own. The last is `main`. */
async function threeRevisions(): Promise<{ layout: StoreLayout; catalog: DiskCatalog; revisions: string[]; source: string }> {
  const { layout, catalog } = emptyStore();
  const source = copyOfFixture('qwen3');
  const revisions: string[] = [];
  for (const note of ['first', 'the second', 'and the third']) {
    writeFileSync(join(source, 'note.txt'), note);
    revisions.push((await publish(layout, source)).ref.revision);
  }
  return { layout, catalog, revisions, source };
} // prettier-ignore

const ids = (list: readonly { readonly revision: string }[]): string[] =>
  list.map(({ revision }) => revision).sort();

test('what nothing names goes, with just the bytes that nothing else has', async () => {
  const { layout, catalog, revisions, source } = await threeRevisions();
  const before = allFiles(layout.root);
  const planned = await collect(layout, catalog, { dryRun: true });
  expect(allFiles(layout.root)).toEqual(before);
  const manifestBytes = statSync(layout.manifests).isDirectory()
    ? readdirSync(layout.manifests).reduce((sum, name) => sum + statSync(join(layout.manifests, name)).size, 0)
    : 0;
  const report = await collect(layout, catalog);
  expect(report).toEqual(planned);
  expect(ids(report.removed)).toEqual(revisions.slice(0, 2).sort());
  expect(report.removed.map(({ bytes }) => bytes).sort()).toEqual(['the second'.length, 'first'.length].sort());
  expect(report.kept).toEqual([{ model: 'acme/rose', revision: revisions[2], reasons: ["the ref 'main'", 'the newest'] }]);
  const manifestsNow = readdirSync(layout.manifests).reduce((sum, name) => sum + statSync(join(layout.manifests, name)).size, 0);
  expect(report.bytes).toBe('first'.length + 'the second'.length + manifestBytes - manifestsNow);
  expect(await catalog.revisions(MODEL)).toEqual([revisions[2]]);
  expect(readdirSync(join(layout.model(MODEL), 'snapshots'))).toEqual([revisions[2]]);
  for (const name of readdirSync(source))
    expect(readFileSync(join(layout.snapshot(MODEL, revisions[2] ?? ''), name)).equals(readFileSync(join(source, name)))).toBe(true);
  await expect(resolve(catalog, revisions[0])).rejects.toMatchObject({ code: 'not-found' });
  // A second time there is nothing to do.
  expect(await collect(layout, catalog)).toMatchObject({ removed: [], leftovers: [], bytes: 0 });
}); // prettier-ignore

test('pins, readers, and as many of the newest as asked for stay', async () => {
  const { layout, catalog, revisions } = await threeRevisions();
  const [first = '', second = '', third = ''] = revisions;
  await pinRevision(layout, MODEL, first, 'good');
  const usersOf: GarbageOptions['usersOf'] = () => [
    { revision: second, by: '10.0.0.7', idleMs: 61_000, open: 0 },
    { revision: third, by: 'n1', idleMs: undefined, open: 1, node: true },
  ];
  expect(await collect(layout, catalog, { usersOf, keep: 0 })).toMatchObject({
    removed: [],
    kept: [
      { revision: third, reasons: ["the ref 'main'", 'the node n1 runs it'] },
      { revision: second, reasons: ['10.0.0.7 read it 1 min 1 s ago'] },
      { revision: first, reasons: ["the pin 'good'"] },
    ],
  });
  expect((await collect(layout, catalog, { keep: 2 })).removed).toEqual([]);
  expect(ids((await collect(layout, catalog, { keep: 1 })).removed)).toEqual([second]);
  rmSync(layout.pin(MODEL, 'good'));
  expect(ids((await collect(layout, catalog)).removed)).toEqual([first]);
});

test('who begins to read while it is at work keeps the revision', async () => {
  const { layout, catalog, revisions } = await threeRevisions();
  let asked = 0;
  const usersOf: GarbageOptions['usersOf'] = () =>
    (asked += 1) === 1 ? [] : [{ revision: revisions[0] ?? '', by: '10.0.0.7', idleMs: 0, open: 1 }];
  const { removed } = await collect(layout, catalog, { usersOf });
  expect(ids(removed)).toEqual([revisions[1]]);
  expect((await resolve(catalog, revisions[0])).manifest.files.length).toBeGreaterThan(3);
});

test('a model that somebody adds to is left alone', async () => {
  const { layout, catalog, revisions } = await threeRevisions();
  const before = allFiles(layout.root);
  const lock: GarbageOptions['lock'] = () => Promise.resolve({ heldBy: 'calyx add (process 7)' });
  const report = await collect(layout, catalog, { lock });
  expect(report).toMatchObject({
    removed: [],
    skipped: [{ model: 'acme/rose', reason: 'calyx add (process 7) is at work on it' }],
  });
  expect(allFiles(layout.root)).toEqual(before);
  expect(await catalog.revisions(MODEL)).toEqual([...revisions].sort());
});

test('two models with one manifest: it stays while one needs it', async () => {
  const { layout, catalog } = emptyStore();
  const shared = (await publish(layout, FIXTURES.qwen3)).ref;
  await publish(layout, FIXTURES.qwen3, { model: OTHER });
  await publish(layout, FIXTURES['qwen2-tied']);
  const report = await collect(layout, catalog, { only: ({ name }) => name === 'rose' });
  expect(ids(report.removed)).toEqual([shared.revision]);
  expect(existsSync(layout.manifest(shared.manifest))).toBe(true);
  const { manifest } = await catalog.resolve({ model: OTHER, revision: 'main' });
  for (const { blob, path } of manifest.files)
    expect(readFileSync(layout.blob(OTHER, blob)).equals(readFileSync(join(FIXTURES.qwen3, path)))).toBe(
      true,
    );
});

test('a blob that another path leads to frees nothing, and the other path keeps it', async () => {
  const { layout, catalog } = emptyStore();
  await publish(layout, FIXTURES.qwen3);
  const weights = (await resolve(catalog)).manifest.file('model-00002-of-00006.safetensors');
  const outside = join(layout.root, 'outside');
  linkSync(layout.blob(MODEL, weights?.blob ?? ''), outside);
  await publish(layout, FIXTURES['qwen2-tied']);
  // Both have this one.
  const shared = statSync(join(FIXTURES.qwen3, 'generation_config.json')).size;
  const planned = await collect(layout, catalog, { dryRun: true });
  const report = await collect(layout, catalog);
  expect(report).toEqual(planned);
  expect(report.removed[0]?.bytes).toBe(directoryBytes(FIXTURES.qwen3) - shared - (weights?.size ?? 0));
  expect(statSync(outside).size).toBe(weights?.size);
});

test("other programs' snapshots in the same cache keep what they show", async () => {
  const { layout, catalog } = emptyStore();
  const { ref } = await publish(layout, FIXTURES.qwen3);
  const { manifest } = await resolve(catalog);
  const [shared] = manifest.files;
  const foreign = layout.snapshot(MODEL, 'f'.repeat(40));
  mkdirSync(foreign, { recursive: true });
  symlinkSync(join('..', '..', 'blobs', shared?.blob ?? ''), join(foreign, 'theirs'));
  writeFileSync(layout.blob(MODEL, 'e'.repeat(64)), 'being downloaded');
  await publish(layout, FIXTURES['qwen2-tied']);
  expect(ids((await collect(layout, catalog)).removed)).toEqual([ref.revision]);
  expect(readFileSync(join(foreign, 'theirs')).equals(readFileSync(join(FIXTURES.qwen3, shared?.path ?? '')))).toBe(true);
  expect(existsSync(layout.blob(MODEL, 'e'.repeat(64)))).toBe(true);
  // What nothing leads to for a week was given up.
  const later = await collect(layout, catalog, { now: Date.now() + 8 * DAY_MS });
  expect(later.leftovers).toEqual([{ model: 'acme/rose', what: 'blobs of no revision', bytes: 'being downloaded'.length }]);
  expect(existsSync(layout.blob(MODEL, 'e'.repeat(64)))).toBe(false);
}); // prettier-ignore

test('an add that was interrupted may go on for a week', async () => {
  const { layout, catalog } = emptyStore();
  await stage(layout, FIXTURES.qwen3);
  const staged = allFiles(layout.root);
  expect(await collect(layout, catalog)).toMatchObject({ leftovers: [], bytes: 0 });
  expect(allFiles(layout.root)).toEqual(staged);
  const now = Date.now() + 8 * DAY_MS;
  const planned = await collect(layout, catalog, { now, dryRun: true });
  expect(allFiles(layout.root)).toEqual(staged);
  const report = await collect(layout, catalog, { now });
  expect(report).toEqual(planned);
  expect(report.bytes).toBeGreaterThan(directoryBytes(FIXTURES.qwen3));
  expect(existsSync(layout.staging(MODEL))).toBe(false);
  // It is as if it had never been begun.
  expect((await publish(layout, FIXTURES.qwen3)).ref.generation).toBe(1);
});

test('a removal that was interrupted is finished', async () => {
  const { layout, catalog } = emptyStore();
  await publish(layout, FIXTURES.qwen3);
  rmSync(layout.refs(MODEL), { recursive: true });
  expect((await collect(layout, catalog)).bytes).toBeGreaterThan(directoryBytes(FIXTURES.qwen3));
  expect(existsSync(layout.model(MODEL))).toBe(false);
  expect(readdirSync(layout.manifests)).toEqual([]);
  expect(existsSync(layout.revisions(MODEL))).toBe(false);
});

test.each(['record', 'manifest', 'pin'] as const)(
  'a damaged %s: nothing of that model is freed, and the others are cleaned',
  async (what) => {
    const { layout, catalog, revisions } = await threeRevisions();
    await publish(layout, FIXTURES['mistral-f32'], { model: OTHER });
    await publish(layout, FIXTURES['qwen2-tied'], { model: OTHER });
    const { manifestDigest } = await resolve(catalog, revisions[2]);
    await pinRevision(layout, MODEL, revisions[1] ?? '', 'good');
    const damaged = {
      record: layout.revision(MODEL, revisions[2] ?? ''),
      manifest: layout.manifest(manifestDigest),
      pin: layout.pin(MODEL, 'good'),
    }[what];
    writeFileSync(damaged, 'garbage');
    const before = allFiles(layout.model(MODEL));
    const { removed, skipped } = await collect(layout, new DiskCatalog(layout));
    expect(removed.map(({ model }) => model)).toEqual(['acme/lily']);
    expect(skipped).toMatchObject([{ model: 'acme/rose' }]);
    expect(allFiles(layout.model(MODEL))).toEqual(before);
  },
);
