import { parseFilePath } from '../../core/names.js';
import { CalyxError } from '../../core/errors.js';
import type { BlockRange } from '../../core/block-range.js';
import { formatBlockRange } from '../../core/block-range.js';
import type { TensorLocation } from '../../weights/tensor.js';
import type { DecoderConfig } from '../decoder-config.js';
import { ElementType } from './onnx-schema.js';

/** What one stage runs: blocks, and whether it embeds token ids before and has the head after them. */
export interface StageShape {
  readonly blocks: BlockRange;
  readonly embed: boolean;
  readonly head: boolean;
}

/** Names of the tensors outside the blocks, as transformers writes them. */
export const EMBEDDING = 'model.embed_tokens.weight';
export const FINAL_NORM = 'model.norm.weight';
export const HEAD = 'lm_head.weight';

/** The name of a tensor of block `block`. */
export function blockTensor(block: number, name: string): string {
  return `model.layers.${block}.${name}`;
}

/** The head's projection: its own tensor, or the embedding table if they are tied. */
export function headTensor(config: DecoderConfig): string {
  return config.tiedHead ? EMBEDDING : HEAD;
}

/** The dtypes that the engine takes, with their name in ONNX and their bytes. A Map: a dtype is a stranger's word. */
const DTYPES: ReadonlyMap<string, { readonly type: ElementType; readonly bytes: number }> = new Map([
  ['BF16', { type: ElementType.bfloat16, bytes: 2 }],
  ['F16', { type: ElementType.float16, bytes: 2 }],
  ['F32', { type: ElementType.float32, bytes: 4 }],
]);

/** Constants that old checkpoints store and that are computed instead. */
const COMPUTED = /\.rotary_emb\.inv_freq$/;

/** The checked weights of a stage. */
export class StageWeights {
  readonly #tensors: ReadonlyMap<string, TensorLocation>;

  /**
   * Picks the tensors of a stage by name and checks each one's presence, dtype, shape, length and path.
   *
   * @param tensors may hold more than the stage needs, and a tensor twice (a tied model's head part repeats the embeddings)
   * @throws CalyxError `invalid-model` naming the tensor and what is wrong, `unsupported` for another dtype or a tensor in
   * a block that this engine knows no use for
   */
  constructor(config: DecoderConfig, stage: StageShape, tensors: readonly TensorLocation[]) {
    const byName = new Map<string, TensorLocation>();
    for (const tensor of tensors) if (!byName.has(tensor.name)) byName.set(tensor.name, tensor);
    const picked = new Map<string, TensorLocation>();
    for (const [name, shape] of expectedTensors(config, stage)) {
      const tensor = byName.get(name);
      if (tensor === undefined) throw missing(name, stage);
      picked.set(name, checkTensor(tensor, shape));
    }
    refuseUnknown(stage, byName, picked);
    this.#tensors = picked;
  }

  get(name: string): TensorLocation {
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) throw new CalyxError('internal', `the graph uses an unchecked tensor ${name}`);
    return tensor;
  }

  elementType(name: string): ElementType {
    return DTYPES.get(this.get(name).dtype)?.type ?? ElementType.float32;
  }

  /** Bytes of all picked weights in their files. */
  get bytes(): number {
    let sum = 0;
    for (const tensor of this.#tensors.values()) sum += tensor.length;
    return sum;
  }
}

/** Every tensor of a stage with its shape. Linear weights are `[out, in]`. */
export function expectedTensors(config: DecoderConfig, stage: StageShape): Map<string, readonly number[]> {
  const { hiddenSize: hidden, intermediateSize: inner, headDim, vocabSize } = config;
  const q = config.headCount * headDim;
  const kv = config.kvHeadCount * headDim;
  const expected = new Map<string, readonly number[]>();
  if (stage.embed) expected.set(EMBEDDING, [vocabSize, hidden]);
  for (let block = stage.blocks.start; block < stage.blocks.end; block += 1) {
    const add = (name: string, ...shape: number[]): void =>
      void expected.set(blockTensor(block, name), shape);
    const linear = (name: string, out: number, input: number, bias: boolean): void => {
      add(`${name}.weight`, out, input);
      if (bias) add(`${name}.bias`, out);
    };
    add('input_layernorm.weight', hidden);
    linear('self_attn.q_proj', q, hidden, config.qkvBias);
    linear('self_attn.k_proj', kv, hidden, config.qkvBias);
    linear('self_attn.v_proj', kv, hidden, config.qkvBias);
    linear('self_attn.o_proj', hidden, q, config.outputBias);
    if (config.qkNorm) {
      add('self_attn.q_norm.weight', headDim);
      add('self_attn.k_norm.weight', headDim);
    }
    add('post_attention_layernorm.weight', hidden);
    linear('mlp.gate_proj', inner, hidden, config.mlpBias);
    linear('mlp.up_proj', inner, hidden, config.mlpBias);
    linear('mlp.down_proj', hidden, inner, config.mlpBias);
  }
  if (stage.head) {
    expected.set(FINAL_NORM, [hidden]);
    expected.set(headTensor(config), [vocabSize, hidden]);
  }
  return expected;
}

function checkTensor(tensor: TensorLocation, shape: readonly number[]): TensorLocation {
  const wrong = (what: string): CalyxError =>
    new CalyxError('invalid-model', `${tensor.file}: tensor ${tensor.name} ${what}`, {
      hint: 'config.json and the weights must be of the same model and revision',
    });
  const dtype = DTYPES.get(tensor.dtype);
  if (dtype === undefined) {
    throw new CalyxError(
      'unsupported',
      `${tensor.file}: tensor ${tensor.name} has the dtype ${tensor.dtype}; the embedded engine runs BF16, F16 and F32`,
      { hint: 'take an unquantized version of the model, or run this one with vLLM or transformers' },
    );
  }
  if (tensor.shape.length !== shape.length || tensor.shape.some((size, index) => size !== shape[index]))
    throw wrong(
      `has the shape [${tensor.shape.join(', ')}] where config.json asks for [${shape.join(', ')}]`,
    );
  const bytes = shape.reduce((product, size) => product * size, dtype.bytes);
  if (tensor.length !== bytes) throw wrong(`has ${tensor.length} bytes where its shape needs ${bytes}`);
  parseFilePath(tensor.file);
  return tensor;
}

/** A tensor in a block that no formula here uses means that the model computes something else. */
function refuseUnknown(
  stage: StageShape,
  all: ReadonlyMap<string, TensorLocation>,
  picked: ReadonlyMap<string, TensorLocation>,
): void {
  for (const tensor of all.values()) {
    const match = /^model\.layers\.(\d+)\./.exec(tensor.name);
    const block = match === null ? -1 : Number(match[1]);
    const ours = block >= stage.blocks.start && block < stage.blocks.end;
    if (!ours || picked.has(tensor.name) || COMPUTED.test(tensor.name)) continue;
    throw new CalyxError(
      'unsupported',
      `${tensor.file}: the embedded engine has no use for the tensor ${tensor.name}, so it would not compute this model exactly`,
      { hint: 'run it with vLLM or transformers' },
    );
  }
}

function missing(name: string, stage: StageShape): CalyxError {
  const parts = [
    `blocks ${formatBlockRange(stage.blocks)}`,
    ...(stage.embed ? ['the embeddings'] : []),
    ...(stage.head ? ['the head'] : []),
  ];
  return new CalyxError('invalid-model', `the weights lack the tensor ${name}`, {
    hint: `this stage runs ${parts.join(', ')}; fetch a slice that holds them`,
  });
}
