import { CalyxError } from '../core/errors.js';
import type { ModelConfig } from './model-config.js';
import type { TensorLocation } from './tensor.js';

/** Which tensors make up each part of a model. Tensors are given by their index in the list that was classified. */
export interface BlockMap {
  /** The number of blocks of the whole model. */
  readonly blockCount: number;
  /** What comes before the first block: token and position embeddings, vision and audio towers, projectors. */
  readonly embed: readonly number[];
  /** By block; empty for a block that a slice does not hold. */
  readonly blocks: readonly (readonly number[])[];
  /** What comes after the last block: final norm, output projection (or the tied embedding table), extra prediction layers. */
  readonly head: readonly number[];
}

/** Modules of which one stands after the last block. */
const HEAD_MODULES = new Set([
  'norm', // Llama, Mistral, Mixtral, Qwen, DeepSeek, Gemma, Phi-3
  'ln_f', // GPT-2, Falcon, BLOOM
  'norm_f', // MPT, Mamba
  'final_layer_norm', // GPT-NeoX, OPT
  'final_layernorm', // Phi, ChatGLM
  'final_norm',
  'lm_head',
  'embed_out', // GPT-NeoX
  'output',
  'output_layer', // ChatGLM
  'score',
]);

/** Modules that hold the token embedding table, which a tied head uses again. */
const EMBEDDING_MODULES = new Set([
  'embed_tokens',
  'wte',
  'word_embeddings',
  'embed_in',
  'tok_embeddings',
  'embedding',
]);

/** The output projections among {@link HEAD_MODULES}. A model without one has a tied head. */
const PROJECTION_MODULES = new Set(['lm_head', 'embed_out', 'output', 'output_layer']);

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
  const found = stack.highest + 1;
  // Layers beyond the config's count predict further tokens (DeepSeek-V3) and follow the head.
  const blockCount = config.blockCount ?? found;
  if (blockCount > MAX_BLOCK_COUNT) {
    throw new CalyxError(
      'invalid-model',
      `${path}: config.json claims ${blockCount} blocks, more than any model has`,
    );
  }
  const embed: number[] = [];
  const head: number[] = [];
  const blocks: number[][] = Array.from({ length: blockCount }, () => []);
  tensors.forEach((tensor, index) => {
    const layer = layerOf(tensor.name);
    const own = layer?.stack === stack.name ? layer.number : undefined;
    if (own !== undefined) (blocks[own] ?? head).push(index);
    else (isHead(tensor.name, stack.name) ? head : embed).push(index);
  });
  const tied =
    config.tiedHead || !head.some((index) => PROJECTION_MODULES.has(moduleOf(tensors[index]?.name ?? '')));
  if (tied && head.length > 0) {
    head.push(...embed.filter((index) => EMBEDDING_MODULES.has(moduleOf(tensors[index]?.name ?? ''))));
  }
  return { blockCount, embed, blocks, head };
}

const MAX_BLOCK_COUNT = 10_000;

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
}

/** The first number in a tensor's name, and what stands before it. */
function layerOf(name: string): Layer | undefined {
  const match = /^(?:(.*?)\.)?(\d{1,5})(?:\.|$)/.exec(name);
  if (match === null) return undefined;
  return { stack: match[1] ?? '', number: Number(match[2]) };
}

function findStack(tensors: readonly TensorLocation[]): { name: string; highest: number } | undefined {
  const stacks = new Map<string, { bytes: number; highest: number }>();
  for (const { name, length } of tensors) {
    const layer = layerOf(name);
    if (layer === undefined) continue;
    const stack = stacks.get(layer.stack) ?? { bytes: 0, highest: 0 };
    stack.bytes += length;
    stack.highest = Math.max(stack.highest, layer.number);
    stacks.set(layer.stack, stack);
  }
  const decoders = [...stacks].filter(
    ([name]) =>
      STACK_NAMES.has(name.slice(name.lastIndexOf('.') + 1)) &&
      (!OTHER_STACKS.test(name) || ENCODER_DECODERS.has(name)),
  );
  decoders.sort(([a, one], [b, two]) => two.bytes - one.bytes || (a < b ? -1 : 1));
  const [best] = decoders;
  return best === undefined ? undefined : { name: best[0], highest: best[1].highest };
}

/** The module of a tensor: `lm_head` of `model.lm_head.weight`. */
function moduleOf(name: string): string {
  return name.split('.').at(-2) ?? '';
}

function isHead(name: string, stack: string): boolean {
  if (/^mtp\w*\./.test(name)) return true;
  if (!HEAD_MODULES.has(moduleOf(name))) return false;
  // A head module stands beside the stack or above it; deeper ones belong to towers.
  const parent = name.split('.').slice(0, -2).join('.');
  return parent === '' || stack === parent || stack.startsWith(`${parent}.`);
}
