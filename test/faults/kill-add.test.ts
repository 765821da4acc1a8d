import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { calyx, calyxJson, startCalyx } from '../support/cli.js';
import { writeRandomModel } from '../support/models.js';
import { sha256sum } from '../support/outside-tools.js';
import { startStore, type RunningStore } from '../support/running-store.js';
import { suiteDirectory } from '../support/directories.js';
import { seeded } from '../support/seeded.js';

const scratch = suiteDirectory();
const KILLS = 50;
const MIB = 1024 * 1024;

let store: RunningStore;
let data: string;
/** The source's files with their sizes and digests, as coreutils see them. */
const files = new Map<string, { size: number; digest: string }>();

beforeAll(async () => {
  data = join(scratch, 'data');
  const model = join(scratch, 'model');
  await writeRandomModel(model, { blocks: 10, matrixBytes: 5 * MIB, shards: 6, seed: 3 });
  const names = await readdir(model);
  const sums = await sha256sum(names.map((name) => join(model, name)));
  for (const name of names) {
    const { byteLength } = await readFile(join(model, name));
    files.set(name, { size: byteLength, digest: sums[join(model, name)] ?? '' });
  }
  store = await startStore(data);
  return async () => {
    await store.stop();
  };
});

/** True if the store shows the model, whole; false if not at all; throws if it shows a part of it. */
async function isShown(): Promise<boolean> {
  const { models } = (await (await fetch(`${store.url}/v1/models`)).json()) as { models: unknown[] };
  const resolved = await fetch(`${store.url}/v1/models/org/random/revisions/main`);
  if (models.length === 0) {
    // It may have appeared between the two questions.
    if (resolved.status !== 404) return isShown();
    return false;
  }
  expect(resolved.status).toBe(200);
  const { manifest } = (await resolved.json()) as { manifest: string };
  expect((await fetch(`${store.url}/v1/manifests/${manifest}`)).status).toBe(200);
  for (const [name, { size, digest }] of files) {
    for (const path of [`/v1/blobs/${digest}`, `/tree/models/org/random/${name}`]) {
      const head = await fetch(store.url + path, { method: 'HEAD' });
      expect(head.status, path).toBe(200);
      expect(head.headers.get('content-length'), path).toBe(String(size));
    }
  }
  return true;
}

describe('kill -9 of add', () => {
  it(`at ${KILLS} random points: the running store shows the model whole or not at all`, async () => {
    const random = seeded(20_262);
    const args = ['add', join(scratch, 'model'), '--name', 'org/random', '--data', data, '--json'];
    let slowest = 0;
    let kills = 0;
    let hidden = 0;
    let published = 0;
    while (kills < KILLS || published === 0) {
      const startedAt = performance.now();
      const running = startCalyx(args);
      let over = false;
      const ended = running.ended.finally(() => (over = true));
      const timer =
        kills < KILLS
          ? setTimeout(() => running.child.kill('SIGKILL'), random() * Math.max(slowest, 500))
          : undefined;
      let shown = await isShown();
      // Looks again and again until it is over, and once more after that.
      for (let last = false; !last;) {
        last = over;
        const now = await isShown();
        // What is shown stays.
        expect(now || !shown).toBe(true);
        shown = now;
      }
      clearTimeout(timer);
      const { signal, code, stdout, stderr } = await ended;
      if (signal === 'SIGKILL') {
        kills += 1;
        if (!shown) hidden += 1;
      } else {
        expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
        expect(shown).toBe(true);
        expect((JSON.parse(stdout) as { files: number }).files).toBe(files.size);
        slowest = Math.max(slowest, performance.now() - startedAt);
      }
      if (!shown) continue;
      published += 1;
      const blobs = join(data, 'models--org--random', 'blobs');
      const sums = await sha256sum((await readdir(blobs)).map((name) => join(blobs, name)));
      expect(Object.values(sums).sort()).toEqual([...files.values()].map(({ digest }) => digest).sort());
      expect((await calyx('remove', 'org/random', '--data', data)).code).toBe(0);
      expect(await isShown()).toBe(false);
    }
    expect(hidden).toBeGreaterThan(KILLS / 4);
    // Nothing of all that is left once it went well.
    await calyxJson(...args.slice(0, -1));
    expect(
      (await readdir(join(data, '.calyx', 'staging'), { recursive: true })).filter((n) =>
        n.includes('partial'),
      ),
    ).toEqual([]);
    expect((await calyx('verify', '--data', data)).code).toBe(0);
  }, 300_000);
});
