import { existsSync, mkdirSync, renameSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, onTestFinished } from 'vitest';
import { addModel } from '../../src/app/catalog/add-model.js';
import { commandManager } from '../../src/app/store/manage.js';
import { lockModel } from '../../src/app/store/model-lock.js';
import { publishStaged } from '../../src/catalog/publish.js';
import { acquireOwnership, type Ownership } from '../../src/storage/files/ownership.js';
import { calyx } from '../support/cli.js';
import { copyOfFixture, emptyStore, FIXTURES, MODEL, publish, stage, VECTORS } from '../support/catalog.js';
import { testDirectory } from '../support/directories.js';
import { expectError } from '../support/expect-error.js';

test('of two that add one model at the same time, each publishes it or says who is at it', async () => {
  for (let round = 0; round < 8; round += 1) {
    const data = join(testDirectory(), 'data');
    const add = () => calyx('add', FIXTURES.qwen3, '--name', 'acme/rose', '--data', data);
    const ended = await Promise.all([add(), add()]);
    for (const { code, stderr } of ended)
      if (code !== 0) expect(stderr).toMatch(/in use by calyx add|wanted by/);
    expect(ended.some(({ code }) => code === 0)).toBe(true);
  }
});

test('the lock of an add outlives publishing, and keeps others from adding and removing', async () => {
  const { layout } = emptyStore();
  const signal = new AbortController().signal;
  const lock = await lockModel(layout, MODEL, 'calyx add');
  await stage(layout, FIXTURES.qwen3);
  const busy = `calyx add (process ${process.pid})`;
  await expectError(() => commandManager(layout, signal).remove(MODEL, false), 'busy', busy);
  expect(existsSync(join(layout.staging(MODEL), 'manifest.json'))).toBe(true);
  await publishStaged(layout, MODEL);
  await expectError(() => lockModel(layout, MODEL, 'calyx add'), 'busy', busy);
  await lock.release();
  expect((await commandManager(layout, signal).remove(MODEL, false)).bytes).toBeGreaterThan(0);
});

test('what cannot be added leaves nothing, and what is not there cannot be removed', async () => {
  const { layout } = emptyStore();
  const add = await calyx('add', '/nonexistent', '--name', 'q/q', '--data', layout.root);
  expect(add.code).toBe(1);
  expect(existsSync(layout.root)).toBe(false);
  const remove = await calyx('remove', 'q/q', '--data', layout.root);
  expect(remove.code).toBe(1);
  expect(remove.stderr).toContain('the store has no model q/q');
  expect(existsSync(layout.root)).toBe(false);
});

test('a shard under a hidden name is refused before anything is copied', async () => {
  const { layout } = emptyStore();
  const source = copyOfFixture('mistral-f32');
  mkdirSync(join(source, '.w'));
  renameSync(join(source, 'model.safetensors'), join(source, '.w/m.safetensors'));
  const bytes = readFileSync(join(source, '.w/m.safetensors'));
  const header = bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0))).toString();
  const names = Object.keys(JSON.parse(header) as object).filter((name) => name !== '__metadata__');
  const map = Object.fromEntries(names.map((name) => [name, '.w/m.safetensors']));
  writeFileSync(join(source, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));
  await expectError(() => stage(layout, source), 'unsupported', '.w/m.safetensors is hidden or left out');
  expect(existsSync(layout.root)).toBe(false);
});

test('an owner that dies after publishing and before answering has published', async () => {
  const { layout } = emptyStore();
  const owner: Ownership = await acquireOwnership(layout.owners, {
    description: 'a store that dies',
    handler: async () => {
      await publishStaged(layout, MODEL);
      await owner.release();
    },
  });
  const added = await addModel({
    dataDirectory: layout.root,
    directory: FIXTURES.qwen3,
    model: MODEL,
    mode: 'copy',
    signal: new AbortController().signal,
  });
  expect(added).toMatchObject({ revision: VECTORS.qwen3.revision, generation: 1, changed: true });
});

test('an interruption does not wait for the owner', async () => {
  const { layout } = emptyStore();
  await publish(layout, FIXTURES.qwen3);
  const controller = new AbortController();
  const owner = await acquireOwnership(layout.owners, {
    description: 'a store that hangs',
    handler: () => {
      controller.abort(new Error('enough'));
      return new Promise(() => undefined);
    },
  });
  onTestFinished(() => owner.release());
  await expect(commandManager(layout, controller.signal).remove(MODEL, false)).rejects.toThrow('enough');
});
