import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../test/support/expect-error.js';
import { rawSafetensors, smallSafetensors } from '../../test/support/raw-safetensors.js';
import { testDirectory } from '../../test/support/directories.js';
import type { ErrorCode } from '../core/errors.js';
import { checkComplete } from './block-map.js';
import { parseIndex, readModel } from './model-directory.js';

type Files = Readonly<Record<string, string | Uint8Array>>;

const EMBED = 'model.embed_tokens.weight';
const block = (number: number): string => `model.layers.${number}.mlp.up_proj.weight`;
const CONFIG = '{"model_type":"llama","num_hidden_layers":2}';
const S1 = 'model-00001-of-00002.safetensors';
const S2 = 'model-00002-of-00002.safetensors';
const INDEX = 'model.safetensors.index.json';

const index = (map: Record<string, string>): string =>
  JSON.stringify({ metadata: { total_size: 64 }, weight_map: map });

/** Two shards with embeddings, two blocks and a final norm. */
const SHARDED: Files = {
  'config.json': CONFIG,
  [S1]: smallSafetensors(EMBED, block(0)),
  [S2]: smallSafetensors(block(1), 'model.norm.weight'),
  [INDEX]: index({ [EMBED]: S1, [block(0)]: S1, [block(1)]: S2, 'model.norm.weight': S2 }),
};

async function modelOf(files: Files): Promise<string> {
  const directory = join(testDirectory(), 'some-model');
  await mkdir(directory);
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), content);
  }
  return directory;
}

function without(files: Files, ...names: string[]): Files {
  return Object.fromEntries(Object.entries(files).filter(([name]) => !names.includes(name)));
}

describe('readModel', () => {
  it('reads shards by the index, and one file without it', async () => {
    const sharded = await readModel(await modelOf(SHARDED));
    expect(sharded.shards.map(({ path }) => path)).toEqual([S1, S2]);
    expect(sharded.tensors.map(({ name, file }) => [name, file])).toEqual([
      [EMBED, S1],
      [block(0), S1],
      [block(1), S2],
      ['model.norm.weight', S2],
    ]);
    // No projection, so the head is tied: the norm, then the embedding table once more.
    expect(sharded.map).toEqual({ blockCount: 2, embed: [0], blocks: [[1], [2]], head: [3, 0] });

    const single = smallSafetensors(EMBED, block(0), 'lm_head.weight');
    const directory = await modelOf({ 'model.safetensors': single });
    expect((await readModel(directory)).map).toEqual({ blockCount: 1, embed: [0], blocks: [[1]], head: [2] });
    const file = await readModel(join(directory, 'model.safetensors'));
    expect(file.map.blockCount).toBe(1);
    expect(file.shards[0]?.size).toBe(single.byteLength);
  });

  it('takes the only safetensors file whatever its name, and shards in a folder', async () => {
    const odd = await modelOf({ 'weights.safetensors': smallSafetensors(EMBED, block(0)) });
    expect((await readModel(odd)).shards[0]?.path).toBe('weights.safetensors');
    const folder = await modelOf({
      'w/a.safetensors': smallSafetensors(EMBED, block(0)),
      [INDEX]: index({ [EMBED]: 'w/a.safetensors', [block(0)]: 'w/a.safetensors' }),
    });
    expect((await readModel(folder)).tensors[1]?.file).toBe('w/a.safetensors');
  });

  it.each<[string, Files, ErrorCode, (string | RegExp)[]]>([
    ['an empty directory', {}, 'not-found', ['has no safetensors weights', 'model.safetensors']],
    ['a directory with a config only', { 'config.json': CONFIG }, 'not-found', ['has no safetensors weights']],
    ['pickled weights', { 'config.json': CONFIG, 'pytorch_model.bin': 'x' }, 'unsupported', ['.bin', 'python -c "', 'AutoModelForCausalLM', /from_pretrained\('.*some-model', dtype='auto'\)\.save_pretrained/]],
    ['sharded pickled weights', { 'pytorch_model-00001-of-00002.bin': 'x', 'pytorch_model.bin.index.json': '{}' }, 'unsupported', ['python -c "']],
    ['the pickled weights of the first Llamas', { 'consolidated.00.pth': 'x', 'params.json': '{}' }, 'unsupported', ['python -c "']],
    ['several shards without an index', without(SHARDED, INDEX), 'invalid-model', [`has 2 safetensors files but no ${INDEX}`, 'finish the download']],
    ['a shard that is missing', without(SHARDED, S2), 'invalid-model', [INDEX, `names the shard ${S2}, which is missing`]],
    ['a shard that was cut off', { ...SHARDED, [S2]: smallSafetensors(block(1), 'model.norm.weight').subarray(0, -1) }, 'invalid-model', [S2, 'tensor "model.norm.weight"', 'cut off']],
    ['a shard that is empty', { ...SHARDED, [S2]: '' }, 'invalid-model', [S2, 'has 0 bytes']],
    ['a shard that is a directory', { ...without(SHARDED, S2), [`${S2}/x`]: '' }, 'invalid-model', [S2, 'not a regular file']],
    ['a tensor that its shard lacks', { ...SHARDED, [S2]: smallSafetensors(block(1)) }, 'invalid-model', [INDEX, `names the tensor "model.norm.weight" in ${S2}, which does not have it`]],
    ['a tensor that is in another shard than the index says', { ...SHARDED, [INDEX]: index({ [EMBED]: S1, [block(0)]: S2, [block(1)]: S2 }) }, 'invalid-model', [INDEX, `"${block(0)}" in ${S2}`]],
    ['a tensor in two shards', { ...SHARDED, [S2]: smallSafetensors(block(1), 'model.norm.weight', block(0)) }, 'invalid-model', [`the tensor "${block(0)}" is in ${S1} and in ${S2}`]],
    ['a config that is not JSON', { ...SHARDED, 'config.json': '{"num_hidden_layers":2' }, 'invalid-model', ['config.json is not valid JSON']],
    ['a config with more blocks than a model has', { ...SHARDED, 'config.json': '{"num_hidden_layers":10001}' }, 'invalid-model', ['config.json claims 10001 blocks']],
    ['a config with fewer blocks than there are', { ...SHARDED, 'config.json': '{"num_hidden_layers":1}' }, 'invalid-model', ['config.json says 1 blocks', `"${block(1)}" belongs to block 1`]],
    ['an encoder-decoder', { ...SHARDED, 'config.json': '{"is_encoder_decoder":true}' }, 'unsupported', ['config.json', 'encoder-decoder']],
    ['an adapter or other weights without layers', { 'model.safetensors': smallSafetensors('classifier.weight') }, 'unsupported', ['no numbered decoder layers among its 1 tensors', 'model.layers.0']],
    ['a vision model', { 'model.safetensors': smallSafetensors('vision_model.encoder.layers.0.mlp.fc1.weight') }, 'unsupported', ['no numbered decoder layers']],
    ['a block number from nowhere', { 'model.safetensors': smallSafetensors(block(0), block(99_999)) }, 'invalid-model', [`the tensor "${block(99_999)}" makes 100000 blocks`]],
    ['a header that repeats a name', { 'model.safetensors': rawSafetensors('{"w":1,"w":2}') }, 'invalid-model', ['model.safetensors: ', '"w" appears twice']],
  ])('refuses %s', async (_, files, code, says) => {
    const directory = await modelOf(files);
    await expectError(() => readModel(directory), code, directory, ...says);
  }); // prettier-ignore

  it('tells a config with more blocks than there are as soon as a whole model is asked for', async () => {
    const directory = await modelOf({ ...SHARDED, 'config.json': '{"num_hidden_layers":5}' });
    const { map } = await readModel(directory);
    await expectError(() => checkComplete(map, directory), 'invalid-model', directory, 'the blocks 2, 3, 4 are missing', 'it has 5 blocks');
  }); // prettier-ignore

  it('says which path is not there', async () => {
    const missing = join(testDirectory(), 'no-such-model');
    await expectError(() => readModel(missing), 'not-found', missing);
  });
});

describe('parseIndex', () => {
  it.each<[string, string, (string | RegExp)[]]>([
    ['no JSON', '<html>', ['not valid']],
    ['cut off', index({ a: S1 }).slice(0, -1), ["'}'"]],
    ['an array', '[]', ['has no weight_map']],
    ['without a weight_map', '{"metadata":{}}', ['has no weight_map']],
    ['with an empty weight_map', '{"weight_map":{}}', ['has no weight_map']],
    ['with a weight_map that is a list', '{"weight_map":["a"]}', ['has no weight_map']],
    [
      'with two weight_maps',
      '{"weight_map":{"a":"s"},"weight_map":{"b":"s"}}',
      ['"weight_map" appears twice'],
    ],
    ['with a tensor twice', '{"weight_map":{"model.a":"s","model.a":"t"}}', ['"model.a" appears twice']],
    ['with a shard that is a number', '{"weight_map":{"a":7}}', ['the shard of "a" is not a name']],
    ['with a shard that is null', '{"weight_map":{"a":null}}', ['the shard of "a"']],
    ...['../x.safetensors', '/etc/passwd', 'a/../../x', './x', '', 'a\\..\\x', 'a//b', 'x\u0000'].map(
      (shard): [string, string, (string | RegExp)[]] => [
        `with the shard ${JSON.stringify(shard)}`,
        index({ 'the.tensor': shard }),
        ['the tensor "the.tensor"', JSON.stringify(shard), 'not a path inside the model'],
      ],
    ),
  ])('refuses an index %s', async (_, text, says) => {
    await expectError(() => parseIndex(text, '/m/index.json'), 'invalid-model', '/m/index.json: ', ...says);
  });

  it('reads tensor names as they are, even __proto__', () => {
    const text = '{"weight_map":{"__proto__":"a.safetensors","b":"c/d.safetensors"}}';
    expect([...parseIndex(text, 'i')]).toEqual([
      ['__proto__', 'a.safetensors'],
      ['b', 'c/d.safetensors'],
    ]);
  });
});
