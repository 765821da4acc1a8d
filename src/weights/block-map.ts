import { CalyxError } from '../core/errors.js';
import type { ModelConfig } from './model-config.js';
import type { TensorLocation } from './tensor.js';

/** Which tensors make up each part of a model. Tensors are given by their index in the list that was classified. */
export interface BlockMap {
  /** The number of blocks of the whole model. */
  readonly blockCount: number;
  /** What comes before the first block: token and position embeddings, vision and audio towers, projectors. */
  readonly embed: readonly number[];
  /** By block; empty for a block that a slice does not hold. A GGUF tensor that all blocks need is in each of them. */
  readonly blocks: readonly (readonly number[])[];
  /**
   * What comes after the last block: final norm, output projection (or the tied embedding table), layers that predict
   * further tokens.
   */
  readonly head: readonly number[];
}

/** Modules that stand after the last block, beside the stack of layers or above it. */
const HEAD_MODULES = new Set([
  'norm', // Llama, Mistral, Mixtral, Qwen, DeepSeek, Gemma, Phi-3
  'ln_f', // GPT-2, Falcon, BLOOM
  'norm_f', // MPT, Mamba
  'layer_norm', // XGLM
  'final_layer_norm', // GPT-NeoX, OPT
  'final_layernorm', // Phi, ChatGLM
  'final_norm',
  'project_out', // OPT-350m
  'lm_head',
  'embed_out', // GPT-NeoX
  'output', // InternLM2
  'output_layer', // ChatGLM
  'ff_out', // OLMo
  'score',
]);

/** Modules that hold the token embedding table, which a tied head uses again. */
const EMBEDDING_MODULES = new Set([
  'embed_tokens',
  'wte',
  'word_embeddings',
  'embed_in',
  'tok_embeddings',
  'embedding', // ChatGLM
  'embeddings', // Mamba
]);

/** The output projections among {@link HEAD_MODULES}. A model without one has a tied head. */
const PROJECTION_MODULES = new Set(['lm_head', 'embed_out', 'output', 'output_layer', 'ff_out']);

/** Modules that predict further tokens (`mtp`, `mtp_block`, `mtp_layers`); like the head, they work on the last block's output. */
const PREDICTION_MODULE = /^mtp(?:_|$)/;

/** What only a layer that predicts further tokens has: it joins the hidden state with the next token (DeepSeek-V3, GLM-4.5). */
const PREDICTION_LAYER = /^eh_proj(?:\.|$)/;

/** Stacks of layers that are not the decoder's. */
const OTHER_STACKS =
  /(?:^|\.)(?:vision\w*|visual\w*|audio\w*|image\w*|vit|mtp\w*|\w*encoder|mm_\w+|\w*projector\w*)(?:\.|$)/;
const STACK_NAMES = new Set(['layers', 'layer', 'h', 'blocks', 'block']);

/** ChatGLM calls its only stack an encoder. */
const ENCODER_DECODERS = new Set(['transformer.encoder.layers']);

/**
 * Finds the blocks of a decoder by the names of its tensors: the stack of numbered layers that holds the most bytes and
 * is not part of a vision tower or the like. Works for every family that numbers its layers (`model.layers.N`,
 * `transformer.h.N`, `h.N`, `gpt_neox.layers.N`, ...).
 *
 * @param path names the model in errors
 * @throws CalyxError `unsupported` if there is no such stack, `invalid-model` if it contradicts the config
 */
export function mapBlocks(tensors: readonly TensorLocation[], config: ModelConfig, path: string): BlockMap {
  const stack = findStack(tensors);
  if (stack === undefined) {
    throw new CalyxError(
      'unsupported',
      `${path}: no numbered decoder layers among its ${tensors.length} tensors`,
      {
        hint: 'Calyx looks for names such as model.layers.0..., transformer.h.0... or gpt_neox.layers.0...',
      },
    );
  }
  const blockCount = config.blockCount ?? stack.highest + 1;
  if (blockCount > MAX_BLOCK_COUNT) {
    const claims =
      config.blockCount === undefined
        ? `the tensor ${JSON.stringify(stack.last)} makes`
        : 'config.json claims';
    throw new CalyxError('invalid-model', `${path}: ${claims} ${blockCount} blocks, more than any model has`);
  }
  const embed: number[] = [];
  const head: number[] = [];
  const blocks: number[][] = Array.from({ length: blockCount }, () => []);
  const projections: number[] = [];
  const embeddings: number[] = [];
  const further = new Map<number, string>();
  const predicting = new Set<number>();
  tensors.forEach(({ name }, index) => {
    const layer = layerOf(name);
    if (layer?.stack === stack.name) {
      (blocks[layer.number] ?? head).push(index);
      if (layer.number < blockCount) return;
      further.set(layer.number, name);
      if (PREDICTION_LAYER.test(layer.rest)) predicting.add(layer.number);
      return;
    }
    const module = moduleBeside(name, stack.name);
    const isHead = HEAD_MODULES.has(module) || PREDICTION_MODULE.test(module);
    (isHead ? head : embed).push(index);
    if (PROJECTION_MODULES.has(module)) projections.push(index);
    if (EMBEDDING_MODULES.has(module)) embeddings.push(index);
  });
  for (const [number, name] of further) {
    if (predicting.has(number)) continue;
    throw new CalyxError(
      'invalid-model',
      `${path}: config.json says ${blockCount} blocks, but the tensor ${JSON.stringify(name)} belongs to block ${number}`,
      { hint: 'config.json and the weight files must belong together; download the model again' },
    );
  }
  if ((config.tiedHead || projections.length === 0) && head.length > 0) head.push(...embeddings);
  return { blockCount, embed, blocks, head };
}

/** More blocks than any model has. */
export const MAX_BLOCK_COUNT = 10_000;

/**
 * Throws unless every part of the model is there.
 *
 * @throws CalyxError `invalid-model` naming what is missing
 */
export function checkComplete(map: BlockMap, path: string): void {
  const missing = map.blocks.flatMap((tensors, block) => (tensors.length === 0 ? [block] : []));
  const what = [
    ...(missing.length > 0
      ? [`the blocks ${missing.slice(0, 8).join(', ')}${missing.length > 8 ? ', ...' : ''}`]
      : []),
    ...(map.embed.length === 0 ? ['the embeddings'] : []),
    ...(map.head.length === 0 ? ['the head'] : []),
  ];
  if (what.length === 0) return;
  throw new CalyxError(
    'invalid-model',
    `${path} is not a complete model: ${what.join(' and ')} are missing`,
    {
      hint: `config.json and the weight files must belong together (it has ${map.blockCount} blocks); download it again`,
    },
  );
}

interface Layer {
  readonly stack: string;
  readonly number: number;
  readonly rest: string;
}

/** The first number in a tensor's name, what stands before it and what follows. */
function layerOf(name: string): Layer | undefined {
  const match = /^(?:(.*?)\.)?(\d{1,5})(?:\.|$)/.exec(name);
  if (match === null) return undefined;
  return { stack: match[1] ?? '', number: Number(match[2]), rest: name.slice(match[0].length) };
}

interface Stack {
  readonly name: string;
  bytes: number;
  highest: number;
  /** A tensor of the highest layer. */
  last: string;
}

function findStack(tensors: readonly TensorLocation[]): Stack | undefined {
  const stacks = new Map<string, Stack>();
  for (const { name, length } of tensors) {
    const layer = layerOf(name);
    if (layer === undefined) continue;
    const stack = stacks.get(layer.stack) ?? { name: layer.stack, bytes: 0, highest: -1, last: name };
    stack.bytes += length;
    if (layer.number > stack.highest) {
      stack.highest = layer.number;
      stack.last = name;
    }
    stacks.set(layer.stack, stack);
  }
  const decoders = [...stacks.values()].filter(
    ({ name }) =>
      STACK_NAMES.has(name.slice(name.lastIndexOf('.') + 1)) &&
      (!OTHER_STACKS.test(name) || ENCODER_DECODERS.has(name)),
  );
  return decoders.sort((a, b) => b.bytes - a.bytes || (a.name < b.name ? -1 : 1))[0];
}

/**
 * The module of a tensor that stands beside the stack or above it: for the stack `model.layers`, that is `norm` of
 * `model.norm.weight`, `lm_head` of `lm_head.weight`, and `vision_tower` of all that lies in there.
 */
function moduleBeside(name: string, stack: string): string {
  const path = stack.split('.');
  return name.split('.').find((segment, depth) => segment !== path[depth]) ?? '';
}
