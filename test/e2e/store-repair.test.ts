import { open, readFile, truncate } from 'node:fs/promises';
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

it('a blob that cannot be read is answered with a reference to the log, and view files have tags', async () => {
  const data = join(testDirectory(), 'data');
  const { revision } = await calyxJson('add', TINY, '--name', 'org/tiny', '--data', data);
  const store = await startStore(data);
  onTestFinished(async () => {
    await store.stop();
  });
  const url = `${store.url}/tree/slices/org/tiny/0-1/block-00000.safetensors`;
  const whole = await fetch(url);
  const tag = whole.headers.get('etag') ?? '';
  expect(tag).toMatch(/^"[0-9a-f]{64}"$/);
  await whole.arrayBuffer();
  expect((await fetch(url, { headers: { 'if-none-match': tag } })).status).toBe(304);
  const part = (ifRange: string) => fetch(url, { headers: { range: 'bytes=0-7', 'if-range': ifRange } });
  expect((await part(tag)).status).toBe(206);
  expect((await part('"other"')).status).toBe(200);
  const other = await fetch(`${store.url}/tree/slices/org/tiny/1-2/block-00001.safetensors`);
  expect(other.headers.get('etag')).not.toBe(tag);

  await truncate(join(data, 'models--org--tiny/snapshots', String(revision), 'config.json'), 3);
  const cut = await fetch(`${store.url}/tree/models/org/tiny/config.json`);
  expect(cut.status).toBe(502);
  const { error } = (await cut.json()) as { error: { code: string; message: string } };
  expect(error.code).toBe('corrupt');
  const reference = /\(reference ([0-9a-f]{8})\)$/.exec(error.message)?.[1] ?? 'none';
  // What is wrong with its files is for the log of the store.
  const { stderr } = await store.stop();
  expect(
    stderr
      .split('\n')
      .filter((line) => line.includes(reference))
      .join(),
  ).toContain('ends at 3');
});
