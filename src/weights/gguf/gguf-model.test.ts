import { execFileSync } from 'node:child_process';
import { mkdir, open, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { testDirectory } from '../../../test/support/directories.js';
import { expectError } from '../../../test/support/expect-error.js';
import { raw, rawGguf, smallGguf, type RawGguf } from '../../../test/support/raw-gguf.js';
import { readModel } from '../model-directory.js';

const NAMES = ['token_embd.weight', 'blk.0.w', 'blk.1.w', 'output.weight', 'output_norm.weight'];
const WHOLE = smallGguf(NAMES, 2);

async function directoryWith(files: Readonly<Record<string, Uint8Array | string>>): Promise<string> {
  const directory = testDirectory();
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, name)), { recursive: true });
    await writeFile(join(directory, name), content);
  }
  return directory;
}

const short = (number: number) => ({ type: 2, bytes: Buffer.from([number, 0]) });

/** One of several files of a model. As llama.cpp splits them, only the first has the metadata of the model. */
function split(no: number, count: number, names: readonly string[], more: RawGguf['pairs'] = []): Buffer {
  const pairs: RawGguf['pairs'] = [['split.no', short(no)], ['split.count', short(count)], ...more];
  if (no === 0) return smallGguf(names, 2, { pairs });
  const tensors = names.map((name, index) => ({ name, offset: 32 * index }));
  return rawGguf({ pairs, tensors, data: 32 * names.length });
}
const TOTAL = ['split.tensors.count', { type: 5, bytes: raw.u32(5) }] as const;
const SPLITS = {
  'm-00001-of-00003.gguf': split(0, 3, NAMES.slice(0, 1), [TOTAL]),
  'm-00002-of-00003.gguf': split(1, 3, NAMES.slice(1, 3), [TOTAL]),
  'm-00003-of-00003.gguf': split(2, 3, NAMES.slice(3), [TOTAL]),
};

describe('a GGUF model', () => {
  it.each([
    ['a file', { 'some.gguf': WHOLE }, 'some.gguf'],
    ['a file of another name', { 'sha256-0123': WHOLE }, 'sha256-0123'],
    [
      'a directory',
      { 'some.gguf': WHOLE, 'config.json': '{"num_hidden_layers": 7}', 'tokenizer.json': '{}' },
      '',
    ],
    ['a directory with a projector', { 'some.gguf': WHOLE, 'mmproj-F16.gguf': 'x' }, ''],
  ])('%s', async (_, files, path) => {
    const { format, config, shards, tensors, map } = await readModel(join(await directoryWith(files), path));
    expect({ format, config, map }).toEqual({
      format: 'gguf',
      config: { modelType: 'llama', blockCount: 2, tiedHead: false },
      map: { blockCount: 2, embed: [0], blocks: [[1], [2]], head: [3, 4] },
    });
    expect(shards).toHaveLength(1);
    expect(shards[0]?.gguf?.pairCount).toBe(2);
    expect(tensors.map(({ name }) => name)).toEqual(NAMES);
    expect(tensors.every(({ file }) => file === Object.keys(files)[0])).toBe(true);
  });

  it.each(['', 'm-00001-of-00003.gguf', 'm-00003-of-00003.gguf'])(
    'split over files, given %j',
    async (name) => {
      const { shards, tensors, map } = await readModel(join(await directoryWith(SPLITS), name));
      expect(shards.map(({ path, gguf }) => [path, gguf?.pairCount])).toEqual([
        ['m-00001-of-00003.gguf', 2],
        ['m-00002-of-00003.gguf', undefined],
        ['m-00003-of-00003.gguf', undefined],
      ]);
      expect(tensors.map((tensor) => tensor.name)).toEqual(NAMES);
      expect(map).toEqual({ blockCount: 2, embed: [0], blocks: [[1], [2]], head: [3, 4] });
    },
  );

  it('split, in a directory of its own', async () => {
    const files = Object.entries(SPLITS).map(([name, bytes]) => [`Q8_0/${name}`, bytes]);
    const directory = await directoryWith({
      ...(Object.fromEntries(files) as typeof SPLITS),
      'README.md': '',
    });
    const { shards, tensors } = await readModel(directory);
    expect(shards.map(({ path }) => path)).toEqual(Object.keys(SPLITS).map((name) => `Q8_0/${name}`));
    expect(tensors[0]?.file).toBe('Q8_0/m-00001-of-00003.gguf');
    await writeFile(join(directory, 'README.gguf'), WHOLE);
    expect((await readModel(directory)).shards.map(({ path }) => path)).toEqual(['README.gguf']);
  });

  it('gives way to safetensors beside it', async () => {
    const directory = await directoryWith({ 'some.gguf': WHOLE, 'model.safetensors': 'x' });
    await expectError(() => readModel(directory), 'invalid-model', 'model.safetensors');
  });

  const { 'm-00002-of-00003.gguf': second, ...gap } = SPLITS;
  it.each<[string, Readonly<Record<string, Uint8Array>>, string, 'invalid-model' | 'unsupported', string[]]>([
    ['several models', { 'm-Q4_K_M.gguf': WHOLE, 'm-Q8_0.gguf': WHOLE }, '', 'unsupported', ['holds 2 GGUF models', 'm-Q4_K_M.gguf', 'm-Q8_0.gguf']],
    ['several models in directories of their own', { 'a/m.gguf': WHOLE, 'b/m.gguf': WHOLE }, '', 'unsupported', ['holds 2 GGUF models', 'a/m.gguf', 'b/m.gguf']],
    ['a slice', { 'embed.gguf': WHOLE, 'block-00001.gguf': WHOLE, 'slice.json': Buffer.from('{}') }, '', 'unsupported', ['is a slice of a GGUF model', 'block-00001.gguf']],
    ['a missing file', gap, '', 'invalid-model', ['m-00002-of-00003.gguf is missing', 'finish the download']],
    ['files in the wrong order', { ...gap, 'm-00002-of-00003.gguf': split(2, 3, ['blk.0.w']) }, '', 'invalid-model', ['number 2 of 3']],
    ['a file of another split', { ...gap, 'm-00002-of-00003.gguf': split(1, 4, ['blk.0.w']) }, '', 'invalid-model', ['number 2 of 3']],
    ['too few tensors', { ...gap, 'm-00002-of-00003.gguf': split(1, 3, ['blk.0.w']) }, '', 'invalid-model', ['have 4 tensors, not the 5']],
    ['a tensor in two files', { ...gap, 'm-00002-of-00003.gguf': split(1, 3, ['blk.0.w', 'token_embd.weight']) }, '', 'invalid-model', ['"token_embd.weight" is in m-00001-of-00003.gguf and in m-00002-of-00003.gguf']],
    ['one of several files under another name', { 'x.gguf': second }, 'x.gguf', 'invalid-model', ['one of 3 files']],
    ['a projector', { 'x.gguf': smallGguf(NAMES, 2, { pairs: [['general.type', raw.string('mmproj')]] }) }, 'x.gguf', 'unsupported', ['of the type "mmproj"']],
    ['a file without an architecture', { 'x.gguf': rawGguf() }, 'x.gguf', 'invalid-model', ['no general.architecture']],
    ['no number of blocks', { 'x.gguf': smallGguf(NAMES, 0) }, 'x.gguf', 'invalid-model', ['llama.block_count is 0']],
    ['something else under this name', { 'x.gguf': Buffer.from('version https://git-lfs.github.com/spec/v1') }, 'x.gguf', 'invalid-model', ['it is no GGUF file', '"vers"']],
    ['an empty file', { 'x.gguf': Buffer.alloc(0) }, 'x.gguf', 'invalid-model', ['cut off']],
  ])('refuses %s', async (_, files, path, code, says) => {
    const directory = await directoryWith(files);
    await expectError(() => readModel(join(directory, path)), code, directory, ...says);
  }); // prettier-ignore

  it('reads a header of several megabytes', async () => {
    const tokens = Array.from({ length: 300_000 }, (_, index) => raw.text(`token ${index}`));
    const pairs = [['tokenizer.ggml.tokens', raw.list(8, tokens.length, Buffer.concat(tokens))]] as const;
    const directory = await directoryWith({ 'm.gguf': smallGguf(NAMES, 2, { pairs }) });
    const { shards, tensors } = await readModel(directory);
    expect(tensors).toHaveLength(5);
    expect(shards[0]?.gguf?.further[0]?.length).toBeGreaterThan(5_000_000);
  });

  it('refuses a header without end in bounded memory', async () => {
    const directory = await directoryWith({
      // A string of 100 GB in a file that claims to have it.
      'm.gguf': rawGguf({
        pairs: [['k', { type: 8, bytes: raw.u64(100_000_000_000n) }]],
        pairCount: 2n,
        data: 0,
      }),
    });
    const path = join(directory, 'm.gguf');
    await truncate(path, 200_000_000_000);
    const before = process.memoryUsage().rss;
    await expectError(() => readModel(path), 'invalid-model', 'its header is longer than 128.0 MiB');
    expect(process.memoryUsage().rss - before).toBeLessThan(600 * 1024 * 1024);
  });

  it('does not wait for a pipe', async () => {
    const path = join(testDirectory(), 'm.gguf');
    execFileSync('mkfifo', [path]);
    await expectError(() => readModel(path), 'invalid-model', 'not a regular file');
  });

  it('reads the header only', async () => {
    const directory = await directoryWith({ 'm.gguf': WHOLE });
    const file = await open(join(directory, 'm.gguf'), 'r+');
    await file.truncate(WHOLE.byteLength + 2 ** 40);
    await file.close();
    expect((await readModel(directory)).tensors).toHaveLength(5);
  });
});
