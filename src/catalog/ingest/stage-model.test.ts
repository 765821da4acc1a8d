import {
  appendFileSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
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
} from '../../../test/support/catalog.js';
import { HashPool } from './hash-pool.js';
import type { ImportMode } from './stage-model.js';

const SHARD = 'model-00004-of-00006.safetensors';

function replace(path: string): void {
  copyFileSync(path, `${path}.new`);
  renameSync(`${path}.new`, path);
}

/** Runs `action` when the first bytes were read. */
function once(action: () => void): () => void {
  let done = false;
  return () => {
    if (!done) action();
    done = true;
  };
}

test('nothing is visible before it is published', async () => {
  const { layout, catalog } = emptyStore();
  const { revision, importedBytes } = await stage(layout, FIXTURES.qwen3);
  expect(revision).toBe(VECTORS.qwen3.revision);
  expect(importedBytes).toBe(directoryBytes(FIXTURES.qwen3));
  expect(await catalog.models()).toEqual([]);
  expect(existsSync(layout.model(MODEL))).toBe(false);
});

test('progress adds up to what was announced', async () => {
  const { layout } = emptyStore();
  let total = 0;
  let done = 0;
  await stage(layout, FIXTURES.qwen3, { onTotal: (b) => (total += b), onBytes: (b) => (done += b) });
  expect([total, done]).toEqual([directoryBytes(FIXTURES.qwen3), directoryBytes(FIXTURES.qwen3)]);
});

test('a second run finds everything staged', async () => {
  const { layout } = emptyStore();
  await stage(layout, FIXTURES.qwen3);
  const again = await stage(layout, FIXTURES.qwen3, {
    onBytes: () => {
      throw new Error('a file was read again');
    },
  });
  expect(again).toMatchObject({ importedBytes: 0, revision: VECTORS.qwen3.revision });
});

describe('how files come in', () => {
  test('link: one inode for source and blob', async () => {
    const { layout, catalog } = emptyStore();
    const source = copyOfFixture('qwen3');
    await publish(layout, source, { mode: 'link', onNotice: (text) => expect.fail(text) });
    for (const file of (await resolve(catalog)).manifest.files) {
      expect(statSync(layout.blob(MODEL, file.blob)).ino).toBe(statSync(join(source, file.path)).ino);
    }
  });

  test('copy: the blobs live on when the source is overwritten', async () => {
    const { layout, catalog } = emptyStore();
    const source = copyOfFixture('qwen3');
    await publish(layout, source);
    writeFileSync(join(source, SHARD), 'overwritten');
    const { manifest } = await resolve(catalog);
    const blob = layout.blob(MODEL, manifest.file(SHARD)?.blob ?? '');
    expect(readFileSync(blob).equals(readFileSync(join(FIXTURES.qwen3, SHARD)))).toBe(true);
  });

  test.each<ImportMode>(['link', 'reflink'])(
    '%s: where it is impossible, a copy and a notice',
    async (mode) => {
      const { layout, catalog } = emptyStore();
      const source = copyOfFixture('qwen3');
      // A file of another file system, reached by a symbolic link; /dev/shm knows no reflinks either.
      const shm = join('/dev/shm', `calyx-test-${process.pid}-${mode}`);
      copyFileSync(join(source, SHARD), shm);
      rmSync(join(source, SHARD));
      symlinkSync(shm, join(source, SHARD));
      const notices: string[] = [];
      try {
        await publish(layout, source, { mode, onNotice: (text) => notices.push(text) });
      } finally {
        rmSync(shm);
      }
      expect(notices).toContain(
        `${SHARD}: a ${mode} to the store's file system is not possible, so it is copied`,
      );
      expect((await resolve(catalog)).revision).toBe(VECTORS.qwen3.revision);
      const { manifest } = await resolve(catalog);
      const paths = manifest.files.map((file) => layout.blob(MODEL, file.blob));
      expect([...sha256sum(paths)].every(([path, digest]) => path.endsWith(digest))).toBe(true);
    },
  );

  test('two names of one file, as a Hugging Face snapshot has them', async () => {
    const { layout, catalog } = emptyStore();
    const source = copyOfFixture('qwen3');
    // The same content under many names, so that two threads work on it at the same time.
    for (let index = 0; index < 8; index += 1)
      symlinkSync(SHARD, join(source, `model-0000${index}-copy.txt`));
    linkSync(join(source, SHARD), join(source, 'hard.txt'));
    for (const name of ['a.py', 'b.py']) writeFileSync(join(source, name), '');
    await publish(layout, source);
    const { manifest } = await resolve(catalog);
    expect(manifest.files).toHaveLength(21);
    const copy = manifest.file('model-00003-copy.txt');
    expect(copy?.blob).toBe(manifest.file(SHARD)?.blob);
    // The shard is cut at its tensors, the copy is one chunk.
    expect(copy?.chunkDigests.byteLength).toBe(32);
    expect(manifest.file('a.py')).toMatchObject({
      size: 0,
      blob: expect.stringMatching(/^e3b0c442/) as unknown,
    });
  });
});

describe('a source that changes while it is read', () => {
  test.each<[string, (path: string) => void]>([
    ['is appended to', (path) => appendFileSync(path, 'x')],
    ['is cut off', (path) => writeFileSync(path, readFileSync(path).subarray(0, 100))],
    ['is replaced by a copy', replace],
    ['is written with the same size', (path) => writeFileSync(path, Buffer.alloc(statSync(path).size))],
    ['disappears', (path) => rmSync(path)],
  ])('%s: an error that names it, nothing visible, and the next run completes', async (_, change) => {
    const { layout, catalog } = emptyStore();
    const source = copyOfFixture('qwen3');
    const path = join(source, SHARD);
    // So that a change is certain to give the file another time.
    for (const name of readdirSync(source)) utimesSync(join(source, name), 1e9, 1e9);
    const pool = new HashPool({ threads: 1 });
    try {
      const failed = stage(layout, source, { pool, onBytes: once(() => change(path)) });
      await expect(failed).rejects.toMatchObject({
        code: 'changed',
        message: expect.stringContaining(SHARD) as unknown,
      });
    } finally {
      await pool.close();
    }
    expect(await catalog.models()).toEqual([]);
    copyFileSync(join(FIXTURES.qwen3, SHARD), path);
    const { importedBytes, ref } = await publish(layout, source);
    expect(ref.revision).toBe(VECTORS.qwen3.revision);
    // The files before the shard, in the order of paths, were complete and are not copied again.
    const before = [
      'config.json',
      'generation_config.json',
      'golden.json',
      ...[1, 2, 3].map((n) => `model-0000${n}-of-00006.safetensors`),
    ];
    const kept = before.reduce((sum, name) => sum + statSync(join(source, name)).size, 0);
    expect(importedBytes).toBeLessThanOrEqual(directoryBytes(source) - kept);
  });

  test.each<ImportMode>(['copy', 'link'])('%s: a file that was complete before it changed', async (mode) => {
    const { layout } = emptyStore();
    const source = copyOfFixture('qwen3');
    utimesSync(join(source, 'config.json'), 1e9, 1e9);
    const pool = new HashPool({ threads: 1 });
    let done = 0;
    const options = {
      pool,
      mode,
      // config.json is the first file; the second is read now.
      onBytes: () => {
        done += 1;
        if (done === 2) writeFileSync(join(source, 'config.json'), '{}');
      },
    };
    await expect(stage(layout, source, options)).rejects.toMatchObject({
      code: 'changed',
      message: expect.stringContaining('config.json') as unknown,
    });
    await pool.close();
  });

  test('what a changed source left half copied does not stay', async () => {
    const { layout } = emptyStore();
    const source = copyOfFixture('qwen3');
    const blobs = join(layout.staging(MODEL), 'blobs');
    mkdirSync(blobs, { recursive: true });
    writeFileSync(join(blobs, `partial-${'0'.repeat(32)}`), 'of another run');
    await stage(layout, source);
    expect(readdirSync(blobs).filter((name) => name.startsWith('partial-'))).toEqual([]);
  });
});

describe('a run that was interrupted', () => {
  test('goes on within a file, and reads back what it had copied', async () => {
    const { layout } = emptyStore();
    const controller = new AbortController();
    const pool = new HashPool({ threads: 1, signal: controller.signal });
    let chunks = 0;
    const onBytes = (): void => {
      if (++chunks === 20) controller.abort(new Error('enough'));
    };
    await expect(stage(layout, FIXTURES.qwen3, { pool, onBytes, signal: controller.signal })).rejects.toThrow(
      'enough',
    );
    await pool.close();
    expect((await stage(layout, FIXTURES.qwen3)).revision).toBe(VECTORS.qwen3.revision);
  });

  test('a changed index makes a shard be cut anew', async () => {
    const { layout } = emptyStore();
    const source = copyOfFixture('qwen3');
    // Without an index there is one weight file, and it is incomplete; so the shards are added one run later.
    const single = copyOfFixture('mistral-f32');
    for (const name of readdirSync(source)) rmSync(join(source, name));
    for (const name of readdirSync(single)) linkSync(join(single, name), join(source, name));
    linkSync(join(single, 'model.safetensors'), join(source, 'weights.safetensors'));
    const first = await stage(layout, source);
    expect(first.manifest.file('weights.safetensors')?.tensors).toEqual([]);
    const names = first.manifest.file('model.safetensors')?.tensors.map((tensor) => tensor.name) ?? [];
    const map = Object.fromEntries(names.map((name) => [name, 'weights.safetensors']));
    writeFileSync(join(source, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));
    const { ref } = await publish(layout, source);
    expect(ref.generation).toBe(1);
  });
});

describe('refused before anything is read', () => {
  test.each(['acme/rose_blocks_4-8', 'acme/rose_blocks_0-4_embed', 'acme/rose_blocks_0-12_embed_head'])(
    'the name of a slice: %s',
    async (name) => {
      const { layout } = emptyStore();
      const [org = '', model = ''] = name.split('/');
      const named = stage(layout, FIXTURES.qwen3, { model: { org, name: model } });
      await expect(named).rejects.toMatchObject({ code: 'usage' });
      expect(existsSync(layout.own)).toBe(false);
    },
  );

  test.each(['rose_blocks_8-4', 'rose_blocks_04-8', 'rose_blocks_4', 'blocks_4-8'])(
    'but not %s, which names no slice',
    async (name) => {
      const { layout } = emptyStore();
      const { revision } = await stage(layout, FIXTURES.qwen3, { model: { org: 'acme', name } });
      expect(revision).toBe(VECTORS.qwen3.revision);
    },
  );

  test('a model with a block missing', async () => {
    const { layout } = emptyStore();
    const source = copyOfFixture('qwen3');
    const config = join(source, 'config.json');
    const text = readFileSync(config, 'utf8');
    writeFileSync(config, text.replace('"num_hidden_layers": 6', '"num_hidden_layers": 7'));
    await expect(stage(layout, source)).rejects.toMatchObject({
      code: 'invalid-model',
      message: expect.stringContaining('the blocks 6') as unknown,
    });
  });
});

test('the content of a link is synced before it is written down', async () => {
  const { layout } = emptyStore();
  const source = copyOfFixture('qwen3');
  const handle = await open(source, 'r');
  const synced = vi.spyOn(Object.getPrototypeOf(handle) as typeof handle, 'datasync');
  await handle.close();
  try {
    const { manifest } = await stage(layout, source, { mode: 'link' });
    // Once for the content of each file and once for its line in the journal.
    expect(synced).toHaveBeenCalledTimes(2 * manifest.files.length);
  } finally {
    synced.mockRestore();
  }
});
