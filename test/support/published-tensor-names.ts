/** What a published checkpoint calls its tensors, and which part of the model each one belongs to. */
export interface PublishedModel {
  readonly family: string;
  /** What matters of its `config.json`. */
  readonly config: object;
  readonly blocks: number;
  readonly embed: readonly string[];
  /** The tensors of each block; `#` stands for its number. */
  readonly block: readonly string[];
  /** More tensors of single blocks: first layers without experts, layers of another kind. */
  readonly extra?: Readonly<Record<number, readonly string[]>>;
  readonly head: readonly string[];
  /** The tensor that a tied head uses again. */
  readonly tied?: string;
  /** Tensors that are larger than all others together, such as those of a vision tower. */
  readonly large?: readonly string[];
}

const under = (prefix: string, ...names: string[]): string[] => names.map((name) => prefix + name);
const weights = (...names: string[]): string[] => names.map((name) => `${name}.weight`);

const ATTENTION = weights('self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj', 'self_attn.o_proj');
const MLP = weights('mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj');
const NORMS = weights('input_layernorm', 'post_attention_layernorm');
const LLAMA = under('model.layers.#.', ...ATTENTION, ...MLP, ...NORMS);
const QWEN2 = [...LLAMA, ...under('model.layers.#.self_attn.', 'q_proj.bias', 'k_proj.bias', 'v_proj.bias')];
const QK_NORMS = weights('self_attn.q_norm', 'self_attn.k_norm');
const EMBED_TOKENS = 'model.embed_tokens.weight';
const EMBED = [EMBED_TOKENS];
const NORM_AND_HEAD = ['model.norm.weight', 'lm_head.weight'];

const experts = (prefix: string, count: number, ...names: string[]): string[] =>
  Array.from({ length: count }, (_, expert) =>
    under(`${prefix}experts.${expert}.`, ...weights(...names)),
  ).flat();

const MLA = weights(
  'self_attn.q_a_proj', 'self_attn.q_a_layernorm', 'self_attn.q_b_proj', 'self_attn.kv_a_proj_with_mqa',
  'self_attn.kv_a_layernorm', 'self_attn.kv_b_proj', 'self_attn.o_proj',
); // prettier-ignore
const FP8 = (names: readonly string[]): string[] =>
  names.filter((name) => name.includes('proj.')).map((name) => `${name}_scale_inv`);
const DEEPSEEK_EXPERTS = [
  ...weights('mlp.gate'),
  'mlp.gate.e_score_correction_bias',
  ...experts('mlp.', 3, 'gate_proj', 'up_proj', 'down_proj'),
  ...weights('mlp.shared_experts.gate_proj', 'mlp.shared_experts.up_proj', 'mlp.shared_experts.down_proj'),
];

const GPT2_BLOCK = ['ln_1.weight', 'ln_1.bias', 'attn.bias', 'attn.c_attn.weight', 'attn.c_attn.bias', 'attn.c_proj.weight', 'attn.c_proj.bias', 'ln_2.weight', 'ln_2.bias', 'mlp.c_fc.weight', 'mlp.c_fc.bias', 'mlp.c_proj.weight', 'mlp.c_proj.bias']; // prettier-ignore
const BLOOM_BLOCK = ['input_layernorm.weight', 'input_layernorm.bias', 'self_attention.query_key_value.weight', 'self_attention.query_key_value.bias', 'self_attention.dense.weight', 'self_attention.dense.bias', 'post_attention_layernorm.weight', 'post_attention_layernorm.bias', 'mlp.dense_h_to_4h.weight', 'mlp.dense_h_to_4h.bias', 'mlp.dense_4h_to_h.weight', 'mlp.dense_4h_to_h.bias']; // prettier-ignore
const GEMMA_NORMS = weights('pre_feedforward_layernorm', 'post_feedforward_layernorm');
const SIGLIP = ['embeddings.patch_embedding.weight', 'embeddings.patch_embedding.bias', 'embeddings.position_embedding.weight', 'encoder.layers.0.layer_norm1.weight', 'encoder.layers.0.mlp.fc1.weight', 'encoder.layers.26.self_attn.out_proj.weight', 'post_layernorm.weight', 'post_layernorm.bias']; // prettier-ignore
const GEMMA3_PROJECTOR = under('multi_modal_projector.', 'mm_input_projection_weight', 'mm_soft_emb_norm.weight'); // prettier-ignore
const OPT_BLOCK = under('model.decoder.layers.#.', ...weights(...['k_proj', 'v_proj', 'q_proj', 'out_proj'].map((name) => `self_attn.${name}`), 'self_attn_layer_norm', 'fc1', 'fc2', 'final_layer_norm'), 'fc1.bias', 'fc2.bias', 'final_layer_norm.bias'); // prettier-ignore
const GLM_BLOCK = under('transformer.encoder.layers.#.', ...weights('input_layernorm', 'self_attention.query_key_value', 'self_attention.dense', 'post_attention_layernorm', 'mlp.dense_h_to_4h', 'mlp.dense_4h_to_h'), 'self_attention.query_key_value.bias'); // prettier-ignore
const QWEN2_VL_TOWER = under('visual.', 'patch_embed.proj.weight', 'blocks.0.norm1.weight', 'blocks.0.attn.qkv.weight', 'blocks.31.mlp.fc2.weight', 'merger.ln_q.weight', 'merger.mlp.0.weight', 'merger.mlp.2.bias'); // prettier-ignore

export const PUBLISHED_MODELS: readonly PublishedModel[] = [
  { family: 'Llama', config: { num_hidden_layers: 3 }, blocks: 3, embed: EMBED, block: [...LLAMA, 'model.layers.#.self_attn.rotary_emb.inv_freq'], head: NORM_AND_HEAD },
  { family: 'Llama 3.2 1B (tied)', config: { num_hidden_layers: 16, tie_word_embeddings: true }, blocks: 16, embed: EMBED, block: LLAMA, head: ['model.norm.weight'], tied: EMBED_TOKENS },
  { family: 'Llama as Meta publishes it', config: {}, blocks: 2, embed: ['tok_embeddings.weight'], block: under('layers.#.', ...weights('attention.wq', 'attention.wk', 'attention.wv', 'attention.wo', 'feed_forward.w1', 'feed_forward.w2', 'feed_forward.w3', 'attention_norm', 'ffn_norm')), head: ['norm.weight', 'output.weight'] },
  { family: 'Mistral', config: { num_hidden_layers: 32 }, blocks: 32, embed: EMBED, block: LLAMA, head: NORM_AND_HEAD },
  { family: 'Mixtral', config: { num_hidden_layers: 4 }, blocks: 4, embed: EMBED, block: under('model.layers.#.', ...ATTENTION, ...NORMS, 'block_sparse_moe.gate.weight', ...experts('block_sparse_moe.', 8, 'w1', 'w2', 'w3')), head: NORM_AND_HEAD },
  { family: 'Qwen2', config: { num_hidden_layers: 28 }, blocks: 28, embed: EMBED, block: QWEN2, head: NORM_AND_HEAD },
  { family: 'Qwen2.5 0.5B (tied)', config: { num_hidden_layers: 24, tie_word_embeddings: true }, blocks: 24, embed: EMBED, block: QWEN2, head: ['model.norm.weight'], tied: EMBED_TOKENS },
  { family: 'Qwen2-MoE', config: { num_hidden_layers: 4 }, blocks: 4, embed: EMBED, block: under('model.layers.#.', ...ATTENTION, ...NORMS, 'self_attn.q_proj.bias', 'mlp.gate.weight', ...experts('mlp.', 4, 'gate_proj', 'up_proj', 'down_proj'), ...weights('mlp.shared_expert.gate_proj', 'mlp.shared_expert.up_proj', 'mlp.shared_expert.down_proj', 'mlp.shared_expert_gate')), head: NORM_AND_HEAD },
  { family: 'Qwen3', config: { num_hidden_layers: 36 }, blocks: 36, embed: EMBED, block: [...LLAMA, ...under('model.layers.#.', ...QK_NORMS)], head: NORM_AND_HEAD },
  { family: 'Qwen3-MoE', config: { num_hidden_layers: 6 }, blocks: 6, embed: EMBED, block: under('model.layers.#.', ...ATTENTION, ...QK_NORMS, ...NORMS, 'mlp.gate.weight', ...experts('mlp.', 4, 'gate_proj', 'up_proj', 'down_proj')), head: NORM_AND_HEAD },
  { family: 'Qwen3-Next (prediction layers beside the stack)', config: { num_hidden_layers: 4 }, blocks: 4, embed: EMBED, block: under('model.layers.#.', ...NORMS, 'mlp.gate.weight'), extra: { 0: under('model.layers.0.', 'linear_attn.A_log', 'linear_attn.in_proj_qkvz.weight'), 3: under('model.layers.3.', ...ATTENTION) }, head: [...NORM_AND_HEAD, 'mtp.fc.weight', 'mtp.norm.weight', 'mtp.pre_fc_norm_hidden.weight', 'mtp.layers.0.self_attn.q_proj.weight', 'mtp.layers.0.mlp.experts.0.up_proj.weight'] },
  { family: 'DeepSeek-V2-Lite', config: { num_hidden_layers: 3 }, blocks: 3, embed: EMBED, block: under('model.layers.#.', 'self_attn.q_proj.weight', ...MLA.slice(3), ...NORMS), extra: { 0: under('model.layers.0.', ...MLP), 1: under('model.layers.1.', ...DEEPSEEK_EXPERTS), 2: under('model.layers.2.', ...DEEPSEEK_EXPERTS) }, head: NORM_AND_HEAD },
  { family: 'DeepSeek-V3 (layer 61 predicts further tokens)', config: { num_hidden_layers: 61, num_nextn_predict_layers: 1 }, blocks: 61, embed: EMBED, block: under('model.layers.#.', ...MLA, ...FP8(MLA), ...NORMS), extra: { 0: under('model.layers.0.', ...MLP, ...FP8(MLP)), 60: under('model.layers.60.', ...DEEPSEEK_EXPERTS) }, head: [...NORM_AND_HEAD, ...under('model.layers.61.', ...MLA, ...NORMS, ...DEEPSEEK_EXPERTS, ...weights('embed_tokens', 'enorm', 'hnorm', 'eh_proj', 'shared_head.norm', 'shared_head.head'))] },
  { family: 'MiMo (prediction layers under the model)', config: { num_hidden_layers: 2 }, blocks: 2, embed: EMBED, block: QWEN2, head: [...NORM_AND_HEAD, ...under('model.mtp_layers.0.', 'token_layernorm.weight', 'input_proj.weight', ...ATTENTION)] },
  { family: 'Gemma', config: { num_hidden_layers: 18 }, blocks: 18, embed: EMBED, block: LLAMA, head: ['model.norm.weight'], tied: EMBED_TOKENS },
  { family: 'Gemma 2', config: { num_hidden_layers: 26 }, blocks: 26, embed: EMBED, block: [...LLAMA, ...under('model.layers.#.', ...GEMMA_NORMS)], head: ['model.norm.weight'], tied: EMBED_TOKENS },
  { family: 'Gemma 3 1B', config: { num_hidden_layers: 26 }, blocks: 26, embed: EMBED, block: [...LLAMA, ...under('model.layers.#.', ...GEMMA_NORMS, ...QK_NORMS)], head: ['model.norm.weight'], tied: EMBED_TOKENS },
  { family: 'Gemma 3 4B (multimodal)', config: { text_config: { num_hidden_layers: 34 }, vision_config: { num_hidden_layers: 27 } }, blocks: 34, embed: ['language_model.model.embed_tokens.weight', ...under('vision_tower.vision_model.', ...SIGLIP), ...GEMMA3_PROJECTOR], block: LLAMA.map((name) => `language_model.${name}`), head: ['language_model.model.norm.weight'], tied: 'language_model.model.embed_tokens.weight', large: ['vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight'] },
  { family: 'Gemma 3 as newer transformers save it', config: { text_config: { num_hidden_layers: 2 } }, blocks: 2, embed: ['model.language_model.embed_tokens.weight', ...under('model.vision_tower.vision_model.', ...SIGLIP), ...under('model.', ...GEMMA3_PROJECTOR)], block: LLAMA.map((name) => name.replace('model.', 'model.language_model.')), head: ['model.language_model.norm.weight', 'lm_head.weight'], large: ['model.vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight'] },
  { family: 'Gemma 3n (several embeddings, one of them tied)', config: { text_config: { num_hidden_layers: 2 } }, blocks: 2, embed: ['model.language_model.embed_tokens.weight', 'model.language_model.embed_tokens_per_layer.weight', 'model.embed_vision.embedding.weight', 'model.embed_audio.embedding.weight', 'model.audio_tower.conformer.0.norm.weight'], block: LLAMA.map((name) => name.replace('model.', 'model.language_model.')), head: ['model.language_model.norm.weight'], tied: 'model.language_model.embed_tokens.weight' },
  { family: 'Phi-2', config: { num_hidden_layers: 2 }, blocks: 2, embed: EMBED, block: under('model.layers.#.', 'self_attn.q_proj.weight', 'self_attn.dense.bias', 'mlp.fc1.weight', 'input_layernorm.bias'), head: ['model.final_layernorm.weight', 'model.final_layernorm.bias', 'lm_head.weight', 'lm_head.bias'] },
  { family: 'Phi-3', config: { num_hidden_layers: 32 }, blocks: 32, embed: EMBED, block: under('model.layers.#.', ...weights('self_attn.qkv_proj', 'self_attn.o_proj', 'mlp.gate_up_proj', 'mlp.down_proj'), ...NORMS), head: NORM_AND_HEAD },
  { family: 'Phi-3 vision', config: { num_hidden_layers: 2 }, blocks: 2, embed: [...EMBED, ...under('model.vision_embed_tokens.', 'glb_GN', 'img_processor.vision_model.encoder.layers.0.mlp.fc1.weight', 'img_projection.0.bias')], block: under('model.layers.#.', 'self_attn.qkv_proj.weight', ...NORMS), head: NORM_AND_HEAD, large: ['model.vision_embed_tokens.img_processor.vision_model.encoder.layers.0.mlp.fc1.weight'] },
  { family: 'Falcon 7B (tied)', config: { num_hidden_layers: 32 }, blocks: 32, embed: ['transformer.word_embeddings.weight'], block: under('transformer.h.#.', ...weights('self_attention.query_key_value', 'self_attention.dense', 'mlp.dense_h_to_4h', 'mlp.dense_4h_to_h', 'input_layernorm'), 'input_layernorm.bias'), head: ['transformer.ln_f.weight', 'transformer.ln_f.bias'], tied: 'transformer.word_embeddings.weight' },
  { family: 'Falcon 40B', config: { n_layer: 60 }, blocks: 60, embed: ['transformer.word_embeddings.weight'], block: under('transformer.h.#.', 'ln_attn.weight', 'ln_mlp.bias', 'self_attention.dense.weight'), head: ['transformer.ln_f.weight', 'transformer.ln_f.bias', 'lm_head.weight'] },
  { family: 'BLOOM', config: { n_layer: 24 }, blocks: 24, embed: ['word_embeddings.weight', 'word_embeddings_layernorm.weight', 'word_embeddings_layernorm.bias'], block: under('h.#.', ...BLOOM_BLOCK), head: ['ln_f.weight', 'ln_f.bias'], tied: 'word_embeddings.weight' },
  { family: 'BLOOMZ', config: { n_layer: 24 }, blocks: 24, embed: ['transformer.word_embeddings.weight', 'transformer.word_embeddings_layernorm.weight'], block: under('transformer.h.#.', ...BLOOM_BLOCK), head: ['transformer.ln_f.weight', 'transformer.ln_f.bias'], tied: 'transformer.word_embeddings.weight' },
  { family: 'GPT-NeoX', config: { num_hidden_layers: 44 }, blocks: 44, embed: ['gpt_neox.embed_in.weight'], block: under('gpt_neox.layers.#.', 'attention.bias', 'attention.masked_bias', 'attention.rotary_emb.inv_freq', 'attention.query_key_value.weight', 'attention.dense.bias', 'mlp.dense_h_to_4h.weight', 'input_layernorm.bias'), head: ['gpt_neox.final_layer_norm.weight', 'gpt_neox.final_layer_norm.bias', 'embed_out.weight'] },
  { family: 'GPT-2', config: { n_layer: 12 }, blocks: 12, embed: ['wte.weight', 'wpe.weight'], block: under('h.#.', ...GPT2_BLOCK), head: ['ln_f.weight', 'ln_f.bias'], tied: 'wte.weight' },
  { family: 'GPT-2 with its prefix', config: { n_layer: 12 }, blocks: 12, embed: ['transformer.wte.weight', 'transformer.wpe.weight'], block: under('transformer.h.#.', ...GPT2_BLOCK), head: ['transformer.ln_f.weight', 'transformer.ln_f.bias', 'lm_head.weight'] },
  { family: 'OPT 125m', config: { num_hidden_layers: 12 }, blocks: 12, embed: ['model.decoder.embed_tokens.weight', 'model.decoder.embed_positions.weight'], block: OPT_BLOCK, head: ['model.decoder.final_layer_norm.weight', 'model.decoder.final_layer_norm.bias'], tied: 'model.decoder.embed_tokens.weight' },
  { family: 'OPT 350m (projections in and out)', config: { num_hidden_layers: 24 }, blocks: 24, embed: ['model.decoder.embed_tokens.weight', 'model.decoder.embed_positions.weight', 'model.decoder.project_in.weight'], block: OPT_BLOCK, head: ['model.decoder.project_out.weight'], tied: 'model.decoder.embed_tokens.weight' },
  { family: 'ChatGLM3', config: { num_layers: 28 }, blocks: 28, embed: ['transformer.embedding.word_embeddings.weight', 'transformer.rotary_pos_emb.inv_freq'], block: GLM_BLOCK, head: ['transformer.encoder.final_layernorm.weight', 'transformer.output_layer.weight'] },
  { family: 'GLM-4V', config: { num_layers: 40 }, blocks: 40, embed: ['transformer.embedding.word_embeddings.weight', 'transformer.vision.patch_embedding.cls_embedding', 'transformer.vision.transformer.layers.0.mlp.fc1.weight', 'transformer.vision.linear_proj.norm1.weight'], block: GLM_BLOCK, head: ['transformer.encoder.final_layernorm.weight', 'transformer.output_layer.weight'], large: ['transformer.vision.transformer.layers.0.mlp.fc1.weight'] },
  { family: 'ChatGLM 6B', config: { num_layers: 28 }, blocks: 28, embed: ['transformer.word_embeddings.weight'], block: under('transformer.layers.#.', 'attention.query_key_value.weight', 'mlp.dense_h_to_4h.bias'), head: ['transformer.final_layernorm.weight', 'transformer.final_layernorm.bias', 'lm_head.weight'] },
  { family: 'Qwen2-VL', config: { num_hidden_layers: 28 }, blocks: 28, embed: [...EMBED, ...QWEN2_VL_TOWER], block: QWEN2, head: NORM_AND_HEAD, large: ['visual.blocks.0.attn.qkv.weight'] },
  { family: 'Qwen2-VL as newer transformers save it', config: { text_config: { num_hidden_layers: 3 } }, blocks: 3, embed: ['model.language_model.embed_tokens.weight', ...under('model.', ...QWEN2_VL_TOWER)], block: QWEN2.map((name) => name.replace('model.', 'model.language_model.')), head: ['model.language_model.norm.weight', 'lm_head.weight'], large: ['model.visual.blocks.0.attn.qkv.weight'] },
  { family: 'LLaVA', config: { text_config: { num_hidden_layers: 2 } }, blocks: 2, embed: ['image_newline', 'language_model.model.embed_tokens.weight', 'multi_modal_projector.linear_1.weight', ...under('vision_tower.vision_model.', ...SIGLIP)], block: LLAMA.map((name) => `language_model.${name}`), head: ['language_model.model.norm.weight', 'language_model.lm_head.weight'], large: ['vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight'] },
  { family: 'Llama 3.1 quantised by GPTQ', config: { num_hidden_layers: 32 }, blocks: 32, embed: EMBED, block: under('model.layers.#.', ...['q_proj', 'k_proj'].flatMap((name) => under(`self_attn.${name}.`, 'qweight', 'qzeros', 'scales', 'g_idx')), ...NORMS), head: NORM_AND_HEAD },
  { family: 'Qwen2.5 quantised by AWQ, head too', config: { num_hidden_layers: 28 }, blocks: 28, embed: EMBED, block: under('model.layers.#.', 'mlp.down_proj.qweight', 'mlp.down_proj.qzeros', 'mlp.down_proj.scales', 'self_attn.q_proj.bias'), head: ['model.norm.weight', 'lm_head.qweight', 'lm_head.qzeros', 'lm_head.scales'] },
  { family: 'Llama quantised by bitsandbytes, head too', config: { num_hidden_layers: 2 }, blocks: 2, embed: EMBED, block: under('model.layers.#.mlp.up_proj.weight', '', '.absmax', '.quant_map', '.quant_state.bitsandbytes__nf4'), head: ['model.norm.weight', ...under('lm_head.weight', '', '.absmax', '.quant_map', '.quant_state.bitsandbytes__nf4')] },
  { family: 'gpt-oss (MXFP4)', config: { num_hidden_layers: 24 }, blocks: 24, embed: EMBED, block: under('model.layers.#.', ...ATTENTION, 'self_attn.sinks', 'mlp.router.weight', 'mlp.experts.gate_up_proj_blocks', 'mlp.experts.gate_up_proj_scales', 'mlp.experts.down_proj_bias'), head: NORM_AND_HEAD },
  { family: 'OLMo', config: { n_layers: 16 }, blocks: 16, embed: ['model.transformer.wte.weight'], block: under('model.transformer.blocks.#.', ...weights('att_proj', 'attn_out', 'ff_proj', 'ff_out')), head: ['model.transformer.ff_out.weight'] },
  { family: 'InternLM2', config: { num_hidden_layers: 2 }, blocks: 2, embed: ['model.tok_embeddings.weight'], block: under('model.layers.#.', ...weights('attention.wqkv', 'attention.wo', 'feed_forward.w1', 'attention_norm')), head: ['model.norm.weight', 'output.weight'] },
  { family: 'Mamba', config: { num_hidden_layers: 48 }, blocks: 48, embed: ['backbone.embeddings.weight'], block: under('backbone.layers.#.', 'mixer.A_log', 'mixer.in_proj.weight', 'norm.weight'), head: ['backbone.norm_f.weight'], tied: 'backbone.embeddings.weight' },
]; // prettier-ignore
