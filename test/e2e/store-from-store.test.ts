import { readFileSync, readdirSync } from 'node:fs';
import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { sha256sum } from '../support/catalog.js';
import { calyxJson } from '../support/cli.js';
import { suiteDirectory, testDirectory } from '../support/directories.js';
import { TINY } from '../support/models.js';
import { startStore, type RunningStore } from '../support/running-store.js';

const scratch = suiteDirectory();
const model = join(scratch, 'model');
const first = join(scratch, 'first');
let store: RunningStore;
beforeAll(async () => {
  await cp(TINY, model, { recursive: true });
  await calyxJson('add', model, '--name', 'acme/tiny', '--data', first);
  store = await startStore(first);
});
afterAll(() => store.stop());

/** What counts of a store: the ref, and the content of each blob under its name. */
function published(data: string): unknown {
  const blobs = join(data, 'models--acme--tiny', 'blobs');
  const names = readdirSync(blobs).sort();
  const sums = sha256sum(names.map((name) => join(blobs, name)));
  expect([...sums.values()]).toEqual(names);
  const ref = JSON.parse(readFileSync(join(data, '.calyx/refs/models--acme--tiny/main.json'), 'utf8')) as {
    revision: string;
    manifest: string;
  };
  const manifest = readFileSync(join(data, '.calyx/manifests', `${ref.manifest}.json`), 'utf8');
  return { names, revision: ref.revision, digest: ref.manifest, manifest };
}

it("a store is filled from another by the Hub's API, byte for byte, and follows it by only what is new", async () => {
  const second = join(testDirectory(), 'second');
  const added = await calyxJson('add', `${store.url}/acme/tiny`, '--data', second);
  expect(added).toMatchObject({ model: 'acme/tiny', changed: true });
  expect(published(second)).toEqual(published(first));
  expect(await calyxJson('update', 'acme/tiny', '--data', second)).toMatchObject({
    changed: false,
    fetchedBytes: 0,
  });
  await writeFile(join(model, 'note.txt'), 'a word more');
  await calyxJson('update', 'acme/tiny', '--data', first);
  expect(await calyxJson('update', 'acme/tiny', '--data', second)).toMatchObject({
    changed: true,
    fetchedBytes: 'a word more'.length,
  });
  expect(published(second)).toEqual(published(first));
});
