import { cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DiskCatalog, type ResolvedRevision } from '../../src/catalog/catalog-reader.js';
import type { ModelName } from '../../src/core/names.js';
import { collectGarbage } from '../../src/catalog/gc/collect-garbage.js';
import { StoreLayout } from '../../src/catalog/store-layout.js';
import { copyOfFixture, FIXTURES, MODEL, publish, resolve, stage } from '../support/catalog.js';
import { testDirectory } from '../support/directories.js';
import { killDriver } from './run-driver.js';

/** Every revision that is shown can be read to its last byte, as the cache layout shows it too. */
async function shownWhole(layout: StoreLayout, contents: ReadonlyMap<string, ReadonlyMap<string, Buffer>>): Promise<string[]> {
  const catalog = new DiskCatalog(layout);
  const shown = await catalog.revisions(MODEL);
  for (const revision of shown) {
    const { manifest } = await resolve(catalog, revision);
    const expected = contents.get(revision);
    expect(manifest.files.map(({ path }) => path)).toEqual([...(expected?.keys() ?? [])].sort());
    for (const { path, blob } of manifest.files) {
      const bytes = expected?.get(path);
      expect(bytes?.equals(readFileSync(layout.blob(MODEL, blob)))).toBe(true);
      expect(bytes?.equals(readFileSync(join(layout.snapshot(MODEL, revision), path)))).toBe(true);
    }
  }
  return shown;
} // prettier-ignore

/** What a directory holds, by path; links by what they lead to. */
function filesOf(directory: string): Map<string, Buffer> {
  return new Map(readdirSync(directory).map((name) => [name, readFileSync(join(directory, name))]));
}

test('gc, killed before each of its steps: a revision is whole or gone, and the next one finishes', async () => {
  const prepared = new StoreLayout(join(testDirectory(), 'data'));
  const source = copyOfFixture('mistral-f32');
  const contents = new Map<string, Map<string, Buffer>>();
  const revisions: string[] = [];
  for (const note of ['first', 'second', 'third']) {
    writeFileSync(join(source, 'note.txt'), note);
    writeFileSync(join(source, `only-${note}.txt`), note.repeat(1000));
    const { revision } = (await publish(prepared, source)).ref;
    contents.set(revision, filesOf(source));
    revisions.push(revision);
  }
  const [, , main = ''] = revisions;
  let before = 3;
  for (let step = 1; ; step += 1) {
    const layout = new StoreLayout(join(testDirectory(), 'data'));
    cpSync(prepared.root, layout.root, { recursive: true, verbatimSymlinks: true });
    const task = { do: 'gc', data: layout.root, source, model: 'acme/rose', killBefore: step } as const;
    const answer = await killDriver(task, 60_000);
    const shown = await shownWhole(layout, contents);
    expect(shown, `step ${step}`).toContain(main);
    // The later the kill, the fewer are left.
    expect(shown.length, `step ${step}`).toBeLessThanOrEqual(before);
    before = shown.length;
    const rest = await collectGarbage(layout, new DiskCatalog(layout), {
      usersOf: () => [],
      lock: () => Promise.resolve(() => Promise.resolve()),
      onForgotten: () => undefined,
      onRemoved: () => Promise.resolve(),
    });
    expect(await shownWhole(layout, contents), `step ${step}`).toEqual([main]);
    const { manifest } = await resolve(new DiskCatalog(layout));
    expect(readdirSync(layout.blobs(MODEL)).sort()).toEqual([...new Set(manifest.files.map(({ blob }) => blob))].sort());
    expect(readdirSync(join(layout.model(MODEL), 'snapshots'))).toEqual([main]);
    expect(readdirSync(layout.manifests)).toHaveLength(1);
    expect(existsSync(layout.removing(MODEL)), `step ${step}`).toBe(false);
    if (answer !== undefined) {
      // Records, snapshots, blobs, manifests: every one was a step of its own.
      expect(step).toBeGreaterThan(15);
      expect(rest).toMatchObject({ removed: [], leftovers: [], bytes: 0 });
      return;
    }
  }
}, 120_000); // prettier-ignore

test('gc of an add that was given up, killed before each of its steps: the next one finishes', async () => {
  const prepared = new StoreLayout(join(testDirectory(), 'data'));
  await stage(prepared, FIXTURES['mistral-f32']);
  const now = Date.now() + 8 * 24 * 3600 * 1000;
  for (let step = 1; ; step += 1) {
    const layout = new StoreLayout(join(testDirectory(), 'data'));
    cpSync(prepared.root, layout.root, { recursive: true });
    const task = {
      do: 'gc',
      data: layout.root,
      source: '',
      model: 'acme/rose',
      killBefore: step,
      now,
    } as const;
    const answer = await killDriver(task, 60_000);
    await collectGarbage(layout, new DiskCatalog(layout), {
      usersOf: () => [],
      lock: () => Promise.resolve(() => Promise.resolve()),
      onForgotten: () => undefined,
      onRemoved: () => Promise.resolve(),
      now,
    });
    expect(existsSync(layout.staging(MODEL)), `step ${step}`).toBe(false);
    expect(existsSync(layout.removing(MODEL)), `step ${step}`).toBe(false);
    if (answer !== undefined) {
      expect(step).toBeGreaterThan(4);
      return;
    }
  }
}, 120_000);

test('publishing what another model has too, killed before each step: that one stays whole, and then both are one', async () => {
  const other = { org: 'acme', name: 'lily' };
  const source = FIXTURES['mistral-f32'];
  const prepared = new StoreLayout(join(testDirectory(), 'data'));
  await publish(prepared, source, { model: other });
  await stage(prepared, source);
  for (let step = 1; ; step += 1) {
    const layout = new StoreLayout(join(testDirectory(), 'data'));
    cpSync(prepared.root, layout.root, { recursive: true, verbatimSymlinks: true });
    const task = { do: 'publish', data: layout.root, source, model: 'acme/rose', killBefore: step } as const;
    const answer = await killDriver(task, 60_000);
    for (const path of readdirSync(source)) {
      const shown = join(layout.snapshot(other, (await resolveMain(layout, other)).revision), path);
      expect(readFileSync(shown).equals(readFileSync(join(source, path))), `step ${step}`).toBe(true);
    }
    if (answer === undefined) continue;
    const { manifest } = await resolveMain(layout, other);
    const inodes = (model: ModelName): number[] => manifest.files.map(({ blob }) => statSync(layout.blob(model, blob)).ino);
    expect(inodes(MODEL)).toEqual(inodes(other));
    expect(step).toBeGreaterThan(35);
    return;
  }
}, 120_000); // prettier-ignore

function resolveMain(layout: StoreLayout, model: ModelName): Promise<ResolvedRevision> {
  return new DiskCatalog(layout).resolve({ model, revision: 'main' });
}
