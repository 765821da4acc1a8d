import type { DecoderConfig } from '../decoder-config.js';
import { GraphWriter, MICROSOFT, type Value } from './graph-writer.js';
import { ElementType } from './onnx-schema.js';
import {
  blockTensor,
  EMBEDDING,
  FINAL_NORM,
  headTensor,
  type StageShape,
  type StageWeights,
} from './stage-weights.js';

/**
 * Inputs and outputs of the graph. `n` is the number of new tokens, `capacity` the length of the KV cache.
 *
 * - `input_ids` int64 `[1, n]` if the stage embeds, else `hidden_states` float32 `[1, n, hidden]`
 * - `rope_cos`, `rope_sin` float32 `[n, headDim / 2]`: the rotary table of just these positions
 * - `last_key` int32 `[1]`: index of the last valid key, so total length - 1; `total_length` int32 scalar
 * - per block `past_key.B`, `past_value.B` and as outputs `present_key.B`, `present_value.B`: float32
 *   `[1, kvHeads, capacity, headDim]`, meant to be the same buffers
 * - out: `logits` float32 `[1, vocab]` of the last position if the stage has the head, else `hidden_states_out` float32
 *   `[1, n, hidden]`
 */
export const GraphNames = {
  inputIds: 'input_ids',
  hiddenIn: 'hidden_states',
  cos: 'rope_cos',
  sin: 'rope_sin',
  lastKey: 'last_key',
  totalLength: 'total_length',
  pastKey: (block: number) => `past_key.${block}`,
  pastValue: (block: number) => `past_value.${block}`,
  presentKey: (block: number) => `present_key.${block}`,
  presentValue: (block: number) => `present_value.${block}`,
  hiddenOut: 'hidden_states_out',
  logits: 'logits',
} as const;

/** Serialises the ONNX model of a stage. The weights stay in their files. An empty block range is allowed. */
export function buildDecoderGraph(
  config: DecoderConfig,
  stage: StageShape,
  weights: StageWeights,
): Uint8Array<ArrayBuffer> {
  return new DecoderGraph(config, weights).build(stage);
}

class DecoderGraph {
  readonly #config: DecoderConfig;
  readonly #weights: StageWeights;
  readonly #graph = new GraphWriter();

  constructor(config: DecoderConfig, weights: StageWeights) {
    this.#config = config;
    this.#weights = weights;
  }

  build(stage: StageShape): Uint8Array<ArrayBuffer> {
    const { hiddenSize, headDim, vocabSize } = this.#config;
    const graph = this.#graph;
    let hidden = stage.embed
      ? this.#embed(graph.input(GraphNames.inputIds, ElementType.int64, [1, 'n']))
      : graph.input(GraphNames.hiddenIn, ElementType.float32, [1, 'n', hiddenSize]);
    if (stage.blocks.start < stage.blocks.end) {
      graph.input(GraphNames.cos, ElementType.float32, ['n', headDim / 2]);
      graph.input(GraphNames.sin, ElementType.float32, ['n', headDim / 2]);
      graph.input(GraphNames.lastKey, ElementType.int32, [1]);
      graph.input(GraphNames.totalLength, ElementType.int32, []);
    }
    for (let block = stage.blocks.start; block < stage.blocks.end; block += 1)
      hidden = this.#block(block, hidden);
    if (stage.head) {
      this.#head(hidden);
      graph.output(GraphNames.logits, ElementType.float32, [1, vocabSize]);
    } else {
      graph.node('Identity', [hidden], { outputs: [GraphNames.hiddenOut] });
      graph.output(GraphNames.hiddenOut, ElementType.float32, [1, 'n', hiddenSize]);
    }
    return graph.finish();
  }

  /** A weight as float32; onnxruntime folds the Cast when the session is built. */
  #weight(name: string): Value {
    const type = this.#weights.elementType(name);
    const value = this.#graph.external(this.#weights.get(name), type);
    return type === ElementType.float32 ? value : this.#toFloat(value, `${name}#f32`);
  }

  #toFloat(value: Value, output?: string): Value {
    return this.#graph.node('Cast', [value], {
      attributes: { to: ElementType.float32 },
      ...(output === undefined ? {} : { outputs: [output] }),
    });
  }

  /** Only the rows of the given tokens are read and widened, never the whole table. */
  #embed(ids: Value): Value {
    const type = this.#weights.elementType(EMBEDDING);
    const table = this.#graph.external(this.#weights.get(EMBEDDING), type);
    const rows = this.#graph.node('Gather', [table, ids], { attributes: { axis: 0 } });
    return type === ElementType.float32 ? rows : this.#toFloat(rows);
  }

  /** `x * weight^T (+ bias)`: Hub weights are `[out, in]`. */
  #linear(x: Value, name: string, bias: boolean): Value {
    const product = this.#graph.node('FusedMatMul', [x, this.#weight(`${name}.weight`)], {
      domain: MICROSOFT,
      attributes: { transB: 1 },
    });
    return bias ? this.#graph.node('Add', [product, this.#weight(`${name}.bias`)]) : product;
  }

  #rmsNorm(x: Value, name: string): Value {
    return this.#graph.node('SimplifiedLayerNormalization', [x, this.#weight(name)], {
      attributes: { axis: -1, epsilon: { float: this.#config.normEpsilon }, stash_type: 1 },
    });
  }

  #block(block: number, hidden: Value): Value {
    const graph = this.#graph;
    const of = (name: string): string => blockTensor(block, name);
    const normed = this.#rmsNorm(hidden, of('input_layernorm.weight'));
    const attended = this.#attention(block, normed);
    const projected = this.#linear(attended, of('self_attn.o_proj'), this.#config.outputBias);
    const middle = graph.node('Add', [hidden, projected]);
    const normed2 = this.#rmsNorm(middle, of('post_attention_layernorm.weight'));
    const gate = this.#linear(normed2, of('mlp.gate_proj'), this.#config.mlpBias);
    // QuickGelu(x) = x * sigmoid(alpha * x), which with alpha 1 is SiLU.
    const active = graph.node('QuickGelu', [gate], {
      domain: MICROSOFT,
      attributes: { alpha: { float: 1 } },
    });
    const up = this.#linear(normed2, of('mlp.up_proj'), this.#config.mlpBias);
    const inner = graph.node('Mul', [active, up]);
    return graph.node('Add', [middle, this.#linear(inner, of('mlp.down_proj'), this.#config.mlpBias)]);
  }

  #attention(block: number, x: Value): Value {
    const { headCount, kvHeadCount, headDim, qkvBias, windows } = this.#config;
    const graph = this.#graph;
    const of = (name: string): string => blockTensor(block, `self_attn.${name}`);
    const q = this.#rotate(
      this.#headNorm(this.#linear(x, of('q_proj'), qkvBias), of('q_norm'), headCount),
      headCount,
    );
    const k = this.#rotate(
      this.#headNorm(this.#linear(x, of('k_proj'), qkvBias), of('k_norm'), kvHeadCount),
      kvHeadCount,
    );
    const v = this.#linear(x, of('v_proj'), qkvBias);
    const cacheDims = [1, kvHeadCount, 'capacity', headDim];
    const inputs = [
      q,
      k,
      v,
      graph.input(GraphNames.pastKey(block), ElementType.float32, cacheDims),
      graph.input(GraphNames.pastValue(block), ElementType.float32, cacheDims),
      GraphNames.lastKey,
      GraphNames.totalLength,
    ];
    graph.output(GraphNames.presentKey(block), ElementType.float32, cacheDims);
    graph.output(GraphNames.presentValue(block), ElementType.float32, cacheDims);
    const window = windows[block] ?? null;
    return graph.node('GroupQueryAttention', inputs, {
      domain: MICROSOFT,
      outputs: [`attention.${block}`, GraphNames.presentKey(block), GraphNames.presentValue(block)],
      attributes: {
        num_heads: headCount,
        kv_num_heads: kvHeadCount,
        scale: { float: headDim ** -0.5 },
        ...(window === null ? {} : { local_window_size: window }),
      },
    });
  }

  /** Qwen3 normalises each head's query and key before rotating them. */
  #headNorm(x: Value, name: string, heads: number): Value {
    if (!this.#config.qkNorm) return x;
    const { headDim } = this.#config;
    const split = this.#graph.integers(`shape.heads.${heads}`, [0, 0, heads, headDim], [4]);
    const joined = this.#graph.integers(`shape.joined.${heads}`, [0, 0, heads * headDim], [3]);
    const perHead = this.#rmsNorm(this.#graph.node('Reshape', [x, split]), `${name}.weight`);
    return this.#graph.node('Reshape', [perHead, joined]);
  }

  /**
   * The rotary embedding, apart from GroupQueryAttention: that one's own needs heads of a multiple of 16 and a table that
   * starts at position 0, this one takes just the rows of the new positions.
   */
  #rotate(x: Value, heads: number): Value {
    const origin = this.#graph.integers('rope_origin', [0], [1]);
    return this.#graph.node('RotaryEmbedding', [x, origin, GraphNames.cos, GraphNames.sin], {
      domain: MICROSOFT,
      attributes: { num_heads: heads, rotary_embedding_dim: this.#config.headDim, interleaved: 0 },
    });
  }

  /** Only the last position goes through the head, so that a long prompt makes no `[n, vocab]` array. */
  #head(hidden: Value): void {
    const last = this.#graph.node('Gather', [hidden, this.#graph.integers('last_position', [-1])], {
      attributes: { axis: 1 },
    });
    const normed = this.#rmsNorm(last, FINAL_NORM);
    this.#graph.node('FusedMatMul', [normed, this.#weight(headTensor(this.#config))], {
      domain: MICROSOFT,
      attributes: { transB: 1 },
      outputs: [GraphNames.logits],
    });
  }
}
