import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  emptyStore,
  FIXTURES,
  MODEL,
  materialize,
  publish,
  resolve,
  VECTORS,
  type FixtureName,
} from '../../test/support/catalog.js';
import { testDirectory } from '../../test/support/directories.js';
import { python, requirePython } from '../../test/support/python.js';
import { walkTree, type Directory } from './file-tree.js';
import { sliceFiles, supportFiles } from './slice.js';
import { catalogTree } from './tree/catalog-tree.js';

interface Shown {
  readonly root: Directory;
  readonly fileBytes: (path: string) => Promise<Buffer | undefined>;
  readonly names: (slice: string) => Promise<readonly string[]>;
}

/** Publishes a fixture and shows its slices. */
async function show(name: FixtureName): Promise<Shown> {
  const { layout, catalog } = emptyStore();
  await publish(layout, FIXTURES[name]);
  const root = catalogTree(catalog).root;
  const base = ['slices', 'acme', `rose@${VECTORS[name].revision}`];
  const fileBytes = async (path: string): Promise<Buffer | undefined> => {
    const node = await walkTree(root, [...base, ...path.split('/')]);
    if (node?.kind !== 'file') return undefined;
    const bytes = materialize(node.segments, (blob) => layout.blob(MODEL, blob));
    expect(bytes.byteLength).toBe(node.size);
    return bytes;
  };
  const names = async (slice: string): Promise<readonly string[]> => {
    const node = await walkTree(root, [...base, slice]);
    return node?.kind === 'directory' ? node.list() : [];
  };
  return { root, fileBytes, names };
}

const json = (bytes: Buffer | undefined): unknown => JSON.parse((bytes ?? Buffer.from('null')).toString());

describe('what a slice shows', () => {
  test('parts, support files, index and description; no golden.json', async () => {
    const { names } = await show('tiny-calyx');
    expect(await names('4-6')).toEqual([
      'chat_template.jinja',
      'config.json',
      'generation_config.json',
      'tokenizer.json',
      'tokenizer_config.json',
      'block-00004.safetensors',
      'block-00005.safetensors',
      'model.safetensors.index.json',
      'slice.json',
    ]);
    expect((await names('11-12+head')).slice(5)).toEqual([
      'block-00011.safetensors',
      'head.safetensors',
      'model.safetensors.index.json',
      'slice.json',
    ]);
    expect((await names('0-1+embed')).slice(5, 7)).toEqual(['embed.safetensors', 'block-00000.safetensors']);
  });

  test.each([
    '04-8',
    '4-8+head+embed',
    '8-4',
    '4-4',
    '0-99',
    '0-13',
    '+embed',
    '4-8+embed+',
    '4:8',
    '..',
    '.',
    '',
    '4-8%2Bembed',
  ])('the spelling %j does not exist', async (slice) => {
    const { root, names } = await show('tiny-calyx');
    expect(await names('4-8+embed')).not.toEqual([]);
    expect(await walkTree(root, ['slices', 'acme', 'rose', slice])).toBeUndefined();
  });

  test('slice.json says what it is', async () => {
    const { fileBytes } = await show('qwen3');
    const about = json(await fileBytes('2-3+head/slice.json')) as { parts: { file: string; size: number }[] };
    expect(about).toMatchObject({
      format: 'calyx-slice-1',
      model: 'acme/rose',
      revision: VECTORS.qwen3.revision,
      blockCount: 6,
    });
    expect(about.parts.map((part) => part.file)).toEqual(['block-00002.safetensors', 'head.safetensors']);
    for (const { file, size } of about.parts)
      expect((await fileBytes(`2-3+head/${file}`))?.byteLength).toBe(size);
  });

  test('the index lists what is there, and only that', async () => {
    const { fileBytes } = await show('mistral-f32');
    const layer = (block: number): string[] =>
      [
        'input_layernorm',
        'mlp.down_proj',
        'mlp.gate_proj',
        'mlp.up_proj',
        'post_attention_layernorm',
        'self_attn.k_proj',
        'self_attn.o_proj',
        'self_attn.q_proj',
        'self_attn.v_proj',
      ].map((name) => `model.layers.${block}.${name}.weight`);
    const index = json(await fileBytes('1-3+head/model.safetensors.index.json')) as {
      metadata: { total_size: number };
      weight_map: Record<string, string>;
    };
    expect(index.weight_map).toEqual({
      ...Object.fromEntries(layer(1).map((name) => [name, 'block-00001.safetensors'])),
      ...Object.fromEntries(layer(2).map((name) => [name, 'block-00002.safetensors'])),
      'model.norm.weight': 'head.safetensors',
      'lm_head.weight': 'head.safetensors',
    });
    // Per block in float32: q and o 64x64, k and v 16x64, three of 144x64, two norms of 64; head 320x64 and 64.
    const block = 4 * (2 * 64 * 64 + 2 * 16 * 64 + 3 * 144 * 64 + 2 * 64);
    expect(index.metadata.total_size).toBe(2 * block + 4 * (320 * 64 + 64));
  });

  test('a part has the same bytes in every slice', async () => {
    const { fileBytes } = await show('qwen2-tied');
    for (const [part, slices] of [
      ['block-00002.safetensors', ['2-3', '0-5', '1-4+embed', '2-5+embed+head']],
      ['embed.safetensors', ['0-1+embed', '4-5+embed+head', '0-5+embed']],
      ['head.safetensors', ['4-5+head', '0-1+embed+head', '2-3+head']],
    ] as const) {
      const digests = await Promise.all(
        slices.map(async (slice) =>
          createHash('sha256')
            .update((await fileBytes(`${slice}/${part}`)) ?? expect.fail())
            .digest('hex'),
        ),
      );
      expect(new Set(digests).size).toBe(1);
    }
  });

  test('a tied head brings the embedding table along; with the embeddings it is listed once', async () => {
    const { fileBytes } = await show('qwen2-tied');
    const map = async (slice: string): Promise<Record<string, string>> =>
      (
        json(await fileBytes(`${slice}/model.safetensors.index.json`)) as {
          weight_map: Record<string, string>;
        }
      ).weight_map;
    expect((await map('4-5+head'))['model.embed_tokens.weight']).toBe('head.safetensors');
    expect((await map('0-5+embed+head'))['model.embed_tokens.weight']).toBe('embed.safetensors');
    expect((await map('0-5+embed'))['model.norm.weight']).toBeUndefined();
    // 320 x 64 in bfloat16, counted once although two files hold it; the rest is what the source's index says.
    const total = json(await fileBytes('0-5+embed+head/model.safetensors.index.json')) as {
      metadata: unknown;
    };
    const source = JSON.parse(
      readFileSync(join(FIXTURES['qwen2-tied'], 'model.safetensors.index.json'), 'utf8'),
    ) as { metadata: { total_size: number } };
    expect(total.metadata).toEqual({ total_size: source.metadata.total_size });
  });
});

test('a block that does not exist is refused', async () => {
  const { layout, catalog } = emptyStore();
  await publish(layout, FIXTURES.qwen3);
  const revision = await resolve(catalog);
  expect(() => sliceFiles(revision, [5, 6])).toThrow('the model has no block 6; it has 6 blocks');
});

test('supportFiles takes what loaders want, at the top level', async () => {
  const { layout, catalog } = emptyStore();
  await publish(layout, FIXTURES.qwen3);
  const { manifest } = await resolve(catalog);
  const [config] = manifest.files;
  const named = (path: string, size = 10): typeof config => config && { ...config, path, size };
  const wanted = [
    'config.json',
    'merges.txt',
    'modeling_x.py',
    'preprocessor_config.json',
    'qwen.tiktoken',
    'tokenizer.model',
  ];
  const unwanted = [
    'README.md',
    'golden.json',
    'pytorch_model.bin',
    'sub/config.json',
    'config.json.bak',
    'Xconfig.json',
    'training_args.bin',
  ];
  const files = [...wanted, ...unwanted].map((path) => named(path)).flatMap((file) => file ?? []);
  const big = named('vocab.json', 64 * 1024 * 1024 + 1);
  const shown = supportFiles(
    Object.create(manifest, { files: { value: [...files, ...(big ? [big] : [])] } }) as typeof manifest,
  );
  expect(shown.map((file) => file.path)).toEqual(wanted);
});

describe("Python's safetensors", () => {
  // Reads every part of a materialised slice and every tensor of the source, and compares them.
  const script = `
import json, os, sys, hashlib
from safetensors import safe_open
slice_dir, source = json.load(sys.stdin)
def tensors(directory, files):
    found = {}
    for file in files:
        with safe_open(os.path.join(directory, file), "np") as data:
            assert data.metadata() == {"format": "pt"}, file
        raw = open(os.path.join(directory, file), "rb").read()
        size = int.from_bytes(raw[:8], "little")
        for name, entry in json.loads(raw[8:8 + size]).items():
            if name == "__metadata__": continue
            begin, end = entry["data_offsets"]
            body = raw[8 + size + begin:8 + size + end]
            value = [entry["dtype"], entry["shape"], hashlib.sha256(body).hexdigest()]
            assert found.get(name, value) == value, name
            found[name] = value
    return found
weights = lambda d: sorted(f for f in os.listdir(d) if f.endswith(".safetensors"))
ours, theirs = tensors(slice_dir, weights(slice_dir)), tensors(source, weights(source))
index = json.load(open(os.path.join(slice_dir, "model.safetensors.index.json")))["weight_map"]
for name, file in index.items():
    with safe_open(os.path.join(slice_dir, file), "np") as data: assert name in data.keys(), name
print(json.dumps({"same": all(theirs[n] == v for n, v in ours.items()), "ours": len(ours), "theirs": len(theirs),
  "indexed": sorted(index) == sorted(ours)}))
`;

  test.for([
    ['tiny-calyx', 12, 9, false],
    ['llama3-rope', 6, 9, false],
    ['mistral-f32', 4, 9, false],
    ['qwen2-tied', 5, 12, true],
    ['qwen3', 6, 11, false],
  ] as const)(
    'reads the parts of %s as the source has them',
    async ([name, blocks, perBlock, tied], context) => {
      requirePython(context, 'safetensors', 'numpy');
      const { names, fileBytes } = await show(name);
      const whole = (tied ? 2 : 3) + blocks * perBlock;
      const slices: [string, number][] = [
        [`0-${blocks}+embed+head`, whole],
        ['0-1+embed', perBlock + 1],
        ['1-3', 2 * perBlock],
        [`${blocks - 1}-${blocks}+head`, perBlock + 2],
      ];
      for (const [slice, count] of slices) {
        const directory = join(testDirectory(), slice);
        mkdirSync(directory);
        for (const file of await names(slice))
          writeFileSync(join(directory, file), (await fileBytes(`${slice}/${file}`)) ?? expect.fail(file));
        expect(python(script, [directory, FIXTURES[name]])).toEqual({
          same: true,
          ours: count,
          theirs: whole,
          indexed: true,
        });
      }
    },
  );
});
