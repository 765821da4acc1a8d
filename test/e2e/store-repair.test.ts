import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { calyx, calyxJson } from '../support/cli.js';
import { testDirectory } from '../support/directories.js';
import { TINY } from '../support/models.js';
import { startStore } from '../support/running-store.js';

it('a blob that was damaged and added again is served whole by the store that runs', async () => {
  const data = join(testDirectory(), 'data');
  const { revision } = await calyxJson('add', TINY, '--name', 'org/tiny', '--data', data);
  const store = await startStore(data);
  onTestFinished(async () => {
    await store.stop();
  });
  const good = await readFile(join(TINY, 'config.json'));
  const served = async (): Promise<Buffer> =>
    Buffer.from(await (await fetch(`${store.url}/tree/models/org/tiny/config.json`)).arrayBuffer());
  expect(await served()).toEqual(good);
  // In place: the store has this very file open.
  const path = join(data, 'models--org--tiny/snapshots', String(revision), 'config.json');
  const file = await open(path, 'r+');
  await file.write('X', 5);
  await file.close();
  expect(await served()).not.toEqual(good);
  expect((await calyx('verify', '--data', data)).code).toBe(1);
  await calyxJson('add', TINY, '--name', 'org/tiny', '--data', data);
  expect((await calyx('verify', '--data', data)).code).toBe(0);
  expect(await served()).toEqual(good);
});
