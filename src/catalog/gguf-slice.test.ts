import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gguf, GGMLQuantizationType } from '@huggingface/gguf';
import { expect, test } from 'vitest';
import {
  emptyStore,
  FIXTURES,
  MODEL,
  materialize,
  publish,
  resolve,
  stage,
  VECTORS,
} from '../../test/support/catalog.js';
import { testDirectory } from '../../test/support/directories.js';
import { expectError } from '../../test/support/expect-error.js';
import { partFile, type PartId } from '../weights/parts.js';
import { walkTree, type FileNode } from './file-tree.js';
import { readSliceDescription } from './slice-description.js';
import { partContent, SLICE_FILE } from './slice.js';
import { encodeHandle } from './tree/handle.js';
import { catalogTree } from './tree/catalog-tree.js';
import { keysOf } from './tree/revision-files.js';

// The fixture has 3 blocks, no projection, and factors of the rotary embedding that all blocks need.
const FILE = 'small-Q8_0.gguf';
const PARTS: readonly PartId[] = ['embed', 0, 1, 2, 'head'];

/** A tensor and its data as Hugging Face's own reader finds them. */
interface Found {
  readonly type: string | undefined;
  readonly shape: readonly number[];
  readonly sha256: string;
}

/** What Hugging Face's own reader, which has no code in common with ours, finds in a file. */
async function read(path: string): Promise<{ keys: string[]; tensors: Record<string, Found> }> {
  const { metadata, tensorInfos, tensorDataOffset } = await gguf(path, { allowLocalFile: true });
  const bytes = readFileSync(path);
  const starts = tensorInfos.map(({ offset }) => Number(tensorDataOffset + offset));
  const tensors = tensorInfos.map(({ name, shape, dtype }, index): [string, Found] => {
    const type = GGMLQuantizationType[dtype];
    const start = starts[index] ?? 0;
    // Up to the next tensor, padding and all: where one begins is what is told.
    const end = Math.min(...starts.filter((other) => other > start), bytes.byteLength);
    const sha256 = createHash('sha256').update(bytes.subarray(start, end)).digest('hex');
    return [name, { type, shape: shape.map(Number), sha256 }];
  });
  return {
    keys: Object.keys(metadata).filter((key) => !['version', 'tensor_count', 'kv_count'].includes(key)),
    tensors: Object.fromEntries(tensors),
  };
}

const belongs = (name: string, part: PartId): boolean =>
  name.startsWith('rope_')
    ? typeof part === 'number'
    : name.startsWith('blk.')
      ? name.startsWith(`blk.${part}.`)
      : name === 'token_embd.weight'
        ? part === 'embed' || part === 'head'
        : part === 'head';

test("Hugging Face's reader finds in the parts what it finds in the model", async () => {
  const { layout, catalog } = emptyStore();
  await publish(layout, FIXTURES.gguf);
  const { manifest } = await resolve(catalog);
  const source = await read(join(FIXTURES.gguf, FILE));
  expect(Object.keys(source.tensors)).toHaveLength(15);
  const all = new Set<string>();
  for (const part of PARTS) {
    const path = join(testDirectory(), partFile(part, manifest.format));
    writeFileSync(
      path,
      materialize(partContent(manifest, part).segments, (blob) => layout.blob(MODEL, blob)),
    );
    const { keys, tensors } = await read(path);
    const expected = Object.entries(source.tensors).filter(([name]) => belongs(name, part));
    expect(tensors).toEqual(Object.fromEntries(expected));
    Object.keys(tensors).forEach((name) => all.add(name));
    const carried = source.keys.filter((key) => !key.startsWith('tokenizer.') && key !== 'test.long');
    expect(keys.sort()).toEqual((part === 'embed' ? [...source.keys] : carried).sort());
  }
  expect([...all].sort()).toEqual(Object.keys(source.tensors).sort());
});

test('a slice shows support files, parts and its description, and has no index', async () => {
  const { layout, catalog } = emptyStore();
  await publish(layout, FIXTURES.gguf);
  const tree = catalogTree(catalog);
  const slice = await walkTree(tree.root, ['slices', 'acme', 'rose', '1-3+head']);
  if (slice?.kind !== 'directory') expect.fail();
  expect(await slice.list()).toEqual([
    'config.json',
    'block-00001.gguf',
    'block-00002.gguf',
    'head.gguf',
    'slice.json',
  ]);
  for (const name of ['model.safetensors.index.json', 'block-00001.safetensors', 'embed.gguf', FILE])
    expect(await slice.lookup(name)).toBeUndefined();
  // A handle that nobody was given leads nowhere either.
  const revision = await resolve(catalog);
  const spec = { blocks: { start: 1, end: 3 }, embed: false, head: true };
  expect(await tree.find(encodeHandle({ kind: 'slice-index', spec, ...keysOf(revision) }))).toBeUndefined();

  const about = (await slice.lookup(SLICE_FILE)) as FileNode;
  const directory = testDirectory();
  writeFileSync(
    join(directory, SLICE_FILE),
    materialize(about.segments, (blob) => layout.blob(MODEL, blob)),
  );
  expect(await readSliceDescription(directory)).toEqual({
    model: MODEL,
    revision: VECTORS.gguf.revision,
    blockCount: 3,
    parts: [1, 2, 'head'],
    format: 'gguf',
  });
});

test('one file is a model by itself, with the same parts', async () => {
  const { layout } = emptyStore();
  const { manifest } = await stage(layout, join(FIXTURES.gguf, FILE));
  expect(manifest.files.map(({ path }) => path)).toEqual([FILE]);
  const whole = (await stage(emptyStore().layout, FIXTURES.gguf)).manifest;
  for (const part of PARTS) expect(partContent(manifest, part)).toEqual(partContent(whole, part));
});

test('one file of safetensors is none', async () => {
  const { layout } = emptyStore();
  const path = join(FIXTURES['mistral-f32'], 'model.safetensors');
  await expectError(
    () => stage(layout, path),
    'unsupported',
    'is one file of a model',
    FIXTURES['mistral-f32'],
  );
  await expectError(() => stage(layout, join(FIXTURES.gguf, 'config.json')), 'invalid-model', 'config.json');
  await expectError(() => stage(layout, join(FIXTURES.gguf, 'nothing.gguf')), 'not-found', 'nothing.gguf');
});
