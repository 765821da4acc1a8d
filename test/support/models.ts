import { createCipheriv } from 'node:crypto';
import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from './directories.js';

/** The bundled model: 12 blocks, four shards, bf16. */
export const TINY = join(ROOT, 'models', 'tiny-calyx');

/** Models in the repository, with the number of their blocks. */
export const MODELS: readonly { readonly name: string; readonly path: string; readonly blocks: number }[] = [
  { name: 'tiny-calyx', path: TINY, blocks: 12 },
  ...Object.entries({ 'llama3-rope': 6, 'mistral-f32': 4, 'qwen2-tied': 5, qwen3: 6 }).map(
    ([name, blocks]) => ({ name, path: join(ROOT, 'test', 'fixtures', 'models', name), blocks }),
  ),
];

/** The shape of a generated model. */
export interface RandomModelOptions {
  readonly blocks: number;
  /** Bytes of each of the two matrices of a block; a multiple of 1024. */
  readonly matrixBytes: number;
  readonly shards: number;
  /** Other seeds give other bytes in the same shapes. */
  readonly seed: number;
}

/** Writes a checkpoint in the form of a Llama with random bytes, the same for the same options. */
export async function writeRandomModel(directory: string, options: RandomModelOptions): Promise<void> {
  const { blocks, matrixBytes, shards, seed } = options;
  const hidden = 512;
  const rows = matrixBytes / 2 / hidden;
  const matrix = { shape: [rows, hidden], bytes: matrixBytes };
  const norm = { shape: [hidden], bytes: hidden * 2 };
  const tensors = [
    { name: 'model.embed_tokens.weight', ...matrix },
    ...Array.from({ length: blocks }, (_, block) => [
      { name: `model.layers.${block}.input_layernorm.weight`, ...norm },
      { name: `model.layers.${block}.mlp.down_proj.weight`, ...matrix },
      { name: `model.layers.${block}.self_attn.q_proj.weight`, ...matrix },
    ]).flat(),
    { name: 'model.norm.weight', ...norm },
    { name: 'lm_head.weight', ...matrix },
  ];
  await mkdir(directory, { recursive: true });
  const weightMap: Record<string, string> = {};
  const perShard = Math.ceil(tensors.length / shards);
  for (let shard = 0; shard < shards; shard += 1) {
    const own = tensors.slice(shard * perShard, (shard + 1) * perShard);
    const file = `model-${String(shard + 1).padStart(5, '0')}-of-${String(shards).padStart(5, '0')}.safetensors`;
    for (const { name } of own) weightMap[name] = file;
    await writeShard(join(directory, file), own, seed * 1000 + shard);
  }
  await writeFile(
    join(directory, 'model.safetensors.index.json'),
    JSON.stringify({ metadata: {}, weight_map: weightMap }),
  );
  await writeFile(
    join(directory, 'config.json'),
    JSON.stringify({
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      num_hidden_layers: blocks,
      hidden_size: hidden,
      num_attention_heads: 8,
      num_key_value_heads: 8,
      intermediate_size: rows,
      vocab_size: rows,
      torch_dtype: 'bfloat16',
    }),
  );
}

async function writeShard(
  path: string,
  tensors: readonly { readonly name: string; readonly shape: readonly number[]; readonly bytes: number }[],
  seed: number,
): Promise<void> {
  let position = 0;
  const header = Object.fromEntries(
    tensors.map(({ name, shape, bytes }) => [
      name,
      { dtype: 'BF16', shape, data_offsets: [position, (position += bytes)] },
    ]),
  );
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.byteLength));
  const key = Buffer.alloc(16);
  key.writeUInt32LE(seed);
  const random = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  const file = await open(path, 'w');
  try {
    await file.writeFile(Buffer.concat([length, text]));
    const zeros = Buffer.alloc(1024 * 1024);
    for (let left = position; left > 0; left -= zeros.byteLength) {
      await file.writeFile(random.update(zeros.subarray(0, Math.min(left, zeros.byteLength))));
    }
  } finally {
    await file.close();
  }
}
