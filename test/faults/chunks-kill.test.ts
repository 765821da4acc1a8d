import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { BundledBlobs } from '../../src/catalog/bundles/bundled-blobs.js';
import { convertToChunks } from '../../src/catalog/bundles/convert-to-chunks.js';
import { DiskCatalog } from '../../src/catalog/catalog-reader.js';
import { Content } from '../../src/catalog/content.js';
import { writeContentLayout } from '../../src/catalog/content-layout.js';
import { collectGarbage, type GarbageReport } from '../../src/catalog/gc/collect-garbage.js';
import { publishStaged } from '../../src/catalog/publish.js';
import { StoreLayout } from '../../src/catalog/store-layout.js';
import { BufferPool } from '../../src/storage/buffer-pool.js';
import { BundleSource } from '../../src/storage/sources/bundle-source.js';
import { bytesOf } from '../support/blobs.js';
import { apparentBytes } from '../support/slices.js';
import {
  copyOfFixture,
  directoryBytes,
  FIXTURES,
  MODEL,
  publish,
  resolve,
  stage,
} from '../support/catalog.js';
import { testDirectory } from '../support/directories.js';
import { changeTensors } from '../support/two-revisions.js';
import { killDriver } from './run-driver.js';

const FIRST = FIXTURES['mistral-f32'];

/** The model with one block changed. */
async function second(): Promise<string> {
  const source = copyOfFixture('mistral-f32');
  await changeTensors(source, /^model\.layers\.1\./);
  return source;
}

/** Reads every file of every revision that is shown as a store would, and compares it; returns the revisions. */
async function shownWhole(layout: StoreLayout, contents: ReadonlyMap<string, string>): Promise<string[]> {
  const catalog = new DiskCatalog(layout);
  const blobs = new BundledBlobs(layout);
  await blobs.refresh(catalog);
  const runs = (blob: string) => blobs.runs(blob);
  const source = new BundleSource('bundles', runs, (id) => layout.bundle(id), new BufferPool());
  const shown = await catalog.revisions(MODEL);
  for (const revision of shown) {
    const directory = contents.get(revision) ?? '';
    const { manifest } = await resolve(catalog, revision);
    expect(manifest.files.map(({ path }) => path)).toEqual(readdirSync(directory).sort());
    for (const { path, blob, size } of manifest.files) {
      const expected = readFileSync(join(directory, path));
      if (existsSync(layout.blob(MODEL, blob)) && !blobs.has(blob)) {
        expect(readFileSync(layout.blob(MODEL, blob)).equals(expected), path).toBe(true);
        continue;
      }
      expect(blobs.holds(MODEL, blob), path).toBe(true);
      const lease = await source.read(blob, 0, size);
      expect(bytesOf(lease).equals(expected), path).toBe(true);
      lease.release();
    }
  }
  await source.close();
  return shown.sort();
}

/** A copy of a store's directory that a test may spoil. */
function copyOf({ root }: StoreLayout): StoreLayout {
  const data = join(testDirectory(), 'data');
  cpSync(root, data, { recursive: true, verbatimSymlinks: true });
  return new StoreLayout(data);
}

function contentOf(layout: StoreLayout): Content {
  return new Content(layout, new DiskCatalog(layout), new BundledBlobs(layout), () => undefined);
}

function collect(layout: StoreLayout): Promise<GarbageReport> {
  return collectGarbage(layout, new DiskCatalog(layout), {
    usersOf: () => [],
    lock: () => Promise.resolve(() => Promise.resolve()),
    onForgotten: () => undefined,
    onRemoved: () => Promise.resolve(),
    bundles: contentOf(layout).bundles,
  });
}

/** A directory of chunks with the first revision, and the second one staged. */
async function oneAndStaged(): Promise<{ layout: StoreLayout; contents: Map<string, string>; source: string }> {
  const layout = new StoreLayout(join(testDirectory(), 'data'));
  await writeContentLayout(layout, 'chunks');
  const source = await second();
  const one = (await stage(layout, FIRST)).revision;
  await publishStaged(layout, MODEL, await contentOf(layout).keeper());
  const two = (await stage(layout, source)).revision;
  return { layout, source, contents: new Map([[one, FIRST], [two, source]]) };
} // prettier-ignore

/** Bytes of what a store of chunks may have besides content: records, manifests, directories. */
const RECORDS = 200_000;

test('publish into chunks, killed before each of its steps: the old revision stays whole, and the next run completes', async () => {
  const { layout: prepared, contents, source } = await oneAndStaged();
  const [one = '', two = ''] = contents.keys();
  let shownAt: number | undefined;
  for (let step = 1; ; step += 1) {
    const layout = copyOf(prepared);
    const task = { do: 'publish', data: layout.root, source, model: 'acme/rose', killBefore: step } as const;
    const answer = await killDriver(task, 60_000);
    const { revision } = await resolve(new DiskCatalog(layout));
    if (revision === two) shownAt ??= step;
    expect(revision, `step ${step}`).toBe(shownAt === undefined ? one : two);
    await shownWhole(layout, contents);
    if (existsSync(join(layout.staging(MODEL), 'manifest.json')))
      await publishStaged(layout, MODEL, await contentOf(layout).keeper());
    expect(await shownWhole(layout, contents), `step ${step}`).toEqual([one, two].sort());
    // What the kill has left goes with the next collection.
    await collect(layout);
    expect(readdirSync(layout.bundles).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    if (answer !== undefined) {
      expect(step).toBeGreaterThan(10);
      return;
    }
  }
}, 180_000);

test('turning plain files into chunks, killed before each of its steps: all revisions stay whole', async () => {
  const prepared = new StoreLayout(join(testDirectory(), 'data'));
  const source = await second();
  const contents = new Map<string, string>();
  for (const directory of [FIRST, source]) contents.set((await publish(prepared, directory)).ref.revision, directory);
  await writeContentLayout(prepared, 'chunks');
  for (let step = 1; ; step += 1) {
    const layout = copyOf(prepared);
    const task = { do: 'convert', data: layout.root, source, model: 'acme/rose', killBefore: step } as const;
    const answer = await killDriver(task, 60_000);
    expect(await shownWhole(layout, contents), `step ${step}`).toEqual([...contents.keys()].sort());
    await convertToChunks(layout, new DiskCatalog(layout));
    expect(await shownWhole(layout, contents), `step ${step}`).toEqual([...contents.keys()].sort());
    await collect(layout);
    expect(existsSync(layout.model(MODEL)), `step ${step}`).toBe(false);
    if (answer !== undefined) {
      expect(step).toBeGreaterThan(20);
      return;
    }
  }
}, 180_000); // prettier-ignore

test('gc of chunks, killed before each of its steps: what stays is whole, and the next one finishes', async () => {
  const { layout: prepared, contents, source } = await oneAndStaged();
  // Of this one little is in the bundles of the first.
  await changeTensors(source, /layers\.|lm_head/);
  contents.clear();
  const { revision: main } = await stage(prepared, source);
  await publishStaged(prepared, MODEL, await contentOf(prepared).keeper());
  contents.set(main, source);
  for (const one of await new DiskCatalog(prepared).revisions(MODEL)) if (one !== main) contents.set(one, FIRST);
  for (let step = 1; ; step += 1) {
    const layout = copyOf(prepared);
    const task = { do: 'gc', data: layout.root, source, model: 'acme/rose', killBefore: step } as const;
    const answer = await killDriver(task, 60_000);
    expect(await shownWhole(layout, contents), `step ${step}`).toContain(main);
    const rest = await collect(layout);
    expect(await shownWhole(layout, contents), `step ${step}`).toEqual([main]);
    expect(await apparentBytes(layout.root)).toBeLessThan(1.34 * directoryBytes(source) + RECORDS);
    if (answer !== undefined) {
      expect(step).toBeGreaterThan(15);
      expect(rest).toMatchObject({ removed: [], leftovers: [], bytes: 0 });
      return;
    }
  }
}, 180_000); // prettier-ignore
