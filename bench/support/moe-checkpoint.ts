import { link, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { outlineManifest } from '../../src/catalog/ingest/outline-manifest.js';
import { STAGED } from '../../src/catalog/ingest/stage-model.js';
import { encodeManifest } from '../../src/catalog/manifest-codec.js';
import { publishStaged } from '../../src/catalog/publish.js';
import { StoreLayout } from '../../src/catalog/store-layout.js';
import { parseModelName } from '../../src/core/names.js';
import { writeCheckpoint, type Checkpoint, type CheckpointSpec, type TensorSpec } from './checkpoint.js';

/** As in DeepSeek-V3. */
const BLOCKS = 61;
const DENSE_BLOCKS = 3;
const EXPERTS = 256;
const HEADS = 128;
const VOCABULARY = 129_280;

/** Smaller than DeepSeek-V3's 7168 and 2048, so that bf16 experts make about 400 GB. */
const HIDDEN = 4096;
const EXPERT = 1024;
const SHARD_BYTES = 2_500_000_000;

/**
 * A checkpoint in the shape of a large mixture of experts, with DeepSeek-V3's names: 61 blocks, 58 of them with 256 experts of
 * three matrices each. About 394 GB in 158 shards, which as sparse files take a few MiB.
 */
export function moeCheckpoint(): CheckpointSpec {
  const bf16 = (name: string, ...shape: number[]): TensorSpec => ({ name, dtype: 'BF16', shape });
  const mlp = (name: string, intermediate: number): TensorSpec[] => [
    bf16(`${name}.down_proj.weight`, HIDDEN, intermediate),
    bf16(`${name}.gate_proj.weight`, intermediate, HIDDEN),
    bf16(`${name}.up_proj.weight`, intermediate, HIDDEN),
  ];
  const tensors = [bf16('model.embed_tokens.weight', VOCABULARY, HIDDEN)];
  for (let block = 0; block < BLOCKS; block += 1) {
    const name = `model.layers.${block}`;
    tensors.push(
      bf16(`${name}.self_attn.q_a_proj.weight`, 1536, HIDDEN),
      bf16(`${name}.self_attn.q_a_layernorm.weight`, 1536),
      bf16(`${name}.self_attn.q_b_proj.weight`, HEADS * 192, 1536),
      bf16(`${name}.self_attn.kv_a_proj_with_mqa.weight`, 576, HIDDEN),
      bf16(`${name}.self_attn.kv_a_layernorm.weight`, 512),
      bf16(`${name}.self_attn.kv_b_proj.weight`, HEADS * 256, 512),
      bf16(`${name}.self_attn.o_proj.weight`, HIDDEN, HEADS * 128),
    );
    if (block < DENSE_BLOCKS) tensors.push(...mlp(`${name}.mlp`, 9 * EXPERT));
    else {
      tensors.push(
        bf16(`${name}.mlp.gate.weight`, EXPERTS, HIDDEN),
        { name: `${name}.mlp.gate.e_score_correction_bias`, dtype: 'F32', shape: [EXPERTS] },
        ...mlp(`${name}.mlp.shared_experts`, EXPERT),
      );
      for (let expert = 0; expert < EXPERTS; expert += 1)
        tensors.push(...mlp(`${name}.mlp.experts.${expert}`, EXPERT));
    }
    tensors.push(
      bf16(`${name}.input_layernorm.weight`, HIDDEN),
      bf16(`${name}.post_attention_layernorm.weight`, HIDDEN),
    );
  }
  tensors.push(bf16('model.norm.weight', HIDDEN), bf16('lm_head.weight', VOCABULARY, HIDDEN));
  const config = {
    architectures: ['DeepseekV3ForCausalLM'],
    first_k_dense_replace: DENSE_BLOCKS,
    hidden_size: HIDDEN,
    intermediate_size: 9 * EXPERT,
    model_type: 'deepseek_v3',
    moe_intermediate_size: EXPERT,
    n_routed_experts: EXPERTS,
    n_shared_experts: 1,
    num_attention_heads: HEADS,
    num_experts_per_tok: 8,
    num_hidden_layers: BLOCKS,
    tie_word_embeddings: false,
    torch_dtype: 'bfloat16',
    vocab_size: VOCABULARY,
  };
  return { config, tensors, shardBytes: SHARD_BYTES, fill: 'sparse' };
}

/** Writes the checkpoint of {@link moeCheckpoint}. */
export function writeMoeCheckpoint(directory: string): Promise<Checkpoint> {
  return writeCheckpoint(directory, moeCheckpoint());
}

/**
 * Publishes a model directory without reading its data: the digests are placeholders, no two of them equal. So 400 GB are there in
 * seconds for whatever plans; a real fetch of it would find every chunk wrong.
 */
export async function publishOutline(directory: string, dataDirectory: string, name: string): Promise<void> {
  const model = parseModelName(name);
  const layout = new StoreLayout(dataDirectory);
  const manifest = await outlineManifest(directory);
  const staging = layout.staging(model);
  await mkdir(join(staging, STAGED.blobs), { recursive: true });
  for (const file of manifest.files)
    await link(join(directory, file.path), join(staging, STAGED.blobs, file.blob));
  await writeFile(join(staging, STAGED.manifest), encodeManifest(manifest));
  await publishStaged(layout, model);
}
