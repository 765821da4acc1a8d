import type { CheckpointSpec, TensorSpec } from './checkpoint.js';

/** Blocks of the made-up model: with blocks as large as Llama 3 8B's, 12 are 4.9 GiB. */
export const LLAMA_BLOCKS = 12;

const HIDDEN = 4096;
const INTERMEDIATE = 14_336;
const KEY_VALUE = 1024;
const VOCABULARY = 32_000;

/** With shards of 1.1 GB, most of them hold the end of one block and the beginning of another. */
const SHARD_BYTES = 1_100_000_000;

/** A checkpoint with the blocks of a large Llama (those of Llama 3 8B, bf16) and random weights. */
export function llamaCheckpoint(onBytes?: (bytes: number) => void): CheckpointSpec {
  const bf16 = (name: string, ...shape: number[]): TensorSpec => ({ name, dtype: 'BF16', shape });
  const tensors = [bf16('model.embed_tokens.weight', VOCABULARY, HIDDEN)];
  for (let block = 0; block < LLAMA_BLOCKS; block += 1) {
    const name = `model.layers.${block}`;
    tensors.push(
      bf16(`${name}.input_layernorm.weight`, HIDDEN),
      bf16(`${name}.mlp.down_proj.weight`, HIDDEN, INTERMEDIATE),
      bf16(`${name}.mlp.gate_proj.weight`, INTERMEDIATE, HIDDEN),
      bf16(`${name}.mlp.up_proj.weight`, INTERMEDIATE, HIDDEN),
      bf16(`${name}.post_attention_layernorm.weight`, HIDDEN),
      bf16(`${name}.self_attn.k_proj.weight`, KEY_VALUE, HIDDEN),
      bf16(`${name}.self_attn.o_proj.weight`, HIDDEN, HIDDEN),
      bf16(`${name}.self_attn.q_proj.weight`, HIDDEN, HIDDEN),
      bf16(`${name}.self_attn.v_proj.weight`, KEY_VALUE, HIDDEN),
    );
  }
  tensors.push(bf16('model.norm.weight', HIDDEN), bf16('lm_head.weight', VOCABULARY, HIDDEN));
  const config = {
    architectures: ['LlamaForCausalLM'],
    bos_token_id: 1,
    eos_token_id: 2,
    hidden_act: 'silu',
    hidden_size: HIDDEN,
    intermediate_size: INTERMEDIATE,
    max_position_embeddings: 8192,
    model_type: 'llama',
    num_attention_heads: HIDDEN / 128,
    num_hidden_layers: LLAMA_BLOCKS,
    num_key_value_heads: KEY_VALUE / 128,
    rms_norm_eps: 1e-5,
    rope_theta: 500_000,
    tie_word_embeddings: false,
    torch_dtype: 'bfloat16',
    vocab_size: VOCABULARY,
  };
  return { config, tensors, shardBytes: SHARD_BYTES, fill: 'random', ...(onBytes && { onBytes }) };
}
