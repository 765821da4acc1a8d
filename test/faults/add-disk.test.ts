import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DiskCatalog } from '../../src/catalog/catalog-reader.js';
import { StoreLayout } from '../../src/catalog/store-layout.js';
import {
  copyOfFixture,
  directoryBytes,
  FIXTURES,
  MODEL,
  resolve,
  sha256sum,
  VECTORS,
} from '../support/catalog.js';
import { ROOT, testDirectory } from '../support/directories.js';
import { driverCommand, runDriver } from './run-driver.js';
import type { DriverAnswer, DriverTask } from './add-driver.js';

const SHARD = 'model-00004-of-00006.safetensors';
const NOBODY = 65_534;

function newTask(source: string): { task: DriverTask; layout: StoreLayout; catalog: DiskCatalog } {
  const data = join(testDirectory(), 'data');
  const layout = new StoreLayout(data);
  return { task: { do: 'add', data, source, model: 'acme/rose' }, layout, catalog: new DiskCatalog(layout) };
}

async function expectWhole(layout: StoreLayout, catalog: DiskCatalog): Promise<void> {
  const { manifest, revision } = await resolve(catalog);
  expect(revision).toBe(VECTORS.qwen3.revision);
  const paths = manifest.files.map((file) => layout.blob(MODEL, file.blob));
  expect([...sha256sum(paths)].every(([path, digest]) => path.endsWith(`/${digest}`))).toBe(true);
}

test('a file that cannot be read: an error before anything is copied', (context) => {
  const source = copyOfFixture('qwen3');
  chmodSync(join(source, SHARD), 0o000);
  const { task, layout } = newTask(source);
  const root = process.getuid?.() === 0;
  if (root) {
    // Root reads everything, so another user has to try.
    for (const path of [process.execPath, join(ROOT, 'dist')]) {
      const seen = spawnSync('test', ['-r', path], { uid: NOBODY, gid: NOBODY });
      if (seen.status !== 0) context.skip(`the user nobody cannot read ${path}`);
    }
    chmodSync(join(source, '..'), 0o755);
    mkdirSync(task.data);
    chmodSync(join(task.data, '..'), 0o755);
    chownSync(task.data, NOBODY, NOBODY);
  }
  const answer = runDriver(task, root ? { uid: NOBODY, gid: NOBODY } : {});
  expect(answer.code).toBe('unreadable');
  expect(answer.message).toBe(`cannot read ${join(source, SHARD)}: permission denied`);
  expect(readdirSync(layout.root)).toEqual([]);
});

test('a limit on the size of files is met: what was finished is kept, and the next run completes', async () => {
  const { task, layout, catalog } = newTask(FIXTURES.qwen3);
  // 140 KiB: shards 2 and 3 are larger, all other files are smaller.
  const limited = runDriver(task, {}, (command) => [
    'bash',
    '-c',
    'ulimit -f 140; exec "$@"',
    'bash',
    ...command,
  ]);
  expect(limited.code).toBe('disk-full');
  expect(limited.message).toMatch(
    /^cannot write .*partial-[0-9a-f]+: the file system does not allow a file that large$/,
  );
  expect(await catalog.models()).toEqual([]);
  const completed = runDriver(task);
  const before = ['config.json', 'generation_config.json', 'golden.json', 'model-00001-of-00006.safetensors'];
  const kept = before.reduce((sum, name) => sum + statSync(join(FIXTURES.qwen3, name)).size, 0);
  expect(completed.revision).toBe(VECTORS.qwen3.revision);
  expect(completed.importedBytes).toBeLessThanOrEqual(directoryBytes(FIXTURES.qwen3) - kept);
  await expectWhole(layout, catalog);
});

/** Puts a command into a mount namespace of its own. */
const NAMESPACE = process.getuid?.() === 0 ? ['unshare', '-m'] : ['unshare', '-rm'];

test('a disk that is full: refused at the start or on the way, and the next run completes', (context) => {
  const source = FIXTURES['mistral-f32'];
  const { task } = newTask(source);
  mkdirSync(task.data);
  const mount = `mount -t tmpfs -o size=900k none '${task.data}'`;
  const [unshare = '', ...flags] = NAMESPACE;
  if (spawnSync(unshare, [...flags, 'bash', '-c', mount]).status !== 0)
    context.skip('a file system of its own cannot be mounted here (unshare -m; mount -t tmpfs)');
  const command = (mode: 'copy' | 'link'): string =>
    driverCommand({ ...task, mode, threads: 1 })
      .map((word) => `'${word}'`)
      .join(' ');
  // A link to another file system becomes a copy that nobody checked for space. It ends after about 600 KB of the 776 KB; then
  // 300 KB become free, of which the rest of the file needs 200.
  const script = `set -e
    ${mount}
    cd '${task.data}'
    head -c 300000 /dev/zero > filler
    ${command('copy')} | tail -n 1
    ls -A .
    ${command('link')} | tail -n 1
    ls -A .
    rm filler
    ${command('copy')} | tail -n 1
    cd models--acme--rose/blobs
    for blob in *; do echo "$blob  $blob"; done | sha256sum -c --quiet && echo good`;
  const output = execFileSync(unshare, [...flags, 'bash', '-c', script], { encoding: 'utf8' });
  const lines = output.trimEnd().split('\n');
  const answers = lines
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as DriverAnswer);
  expect(answers).toHaveLength(3);
  const [early, late, completed] = answers;
  expect(early?.code).toBe('disk-full');
  expect(early?.message).toMatch(/^the model needs 769\.9 KiB, but .* has only [56]\d\d\.\d KiB free$/);
  expect(late?.code).toBe('disk-full');
  expect(late?.message).toMatch(/^cannot write .*: no space left on the device$/);
  // Only the small files were finished before.
  expect(completed).toEqual({
    revision: VECTORS['mistral-f32'].revision,
    importedBytes: statSync(join(source, 'model.safetensors')).size,
  });
  expect(lines.filter((line) => !line.startsWith('{'))).toEqual([
    '.calyx',
    'filler',
    '.calyx',
    'filler',
    'good',
  ]);
});

test('a data directory that cannot be one', () => {
  const { task } = newTask(FIXTURES.qwen3);
  writeFileSync(task.data, 'a file');
  const answer = runDriver(task);
  expect(answer.code).toBe('not-found');
  expect(answer.message).toMatch(/^cannot create .*: a part of the path is not a directory$/);
});
