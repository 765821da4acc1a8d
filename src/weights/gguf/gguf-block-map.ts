import { CalyxError } from '../../core/errors.js';
import { MAX_BLOCK_COUNT, type BlockMap } from '../block-map.js';
import type { TensorLocation } from '../tensor.js';

/** `blk.N.`, and what follows. */
const BLOCK = /^blk\.(\d{1,5})\.(.+)$/;
/** Encoder-decoder models have two stacks. */
const OTHER_STACKS = /^(?:enc|dec)\.blk\.\d/;
/** Output norm, output projection, classifier. */
const HEAD = /^(?:output|output_\w+|cls)(?:\.|$)/;
/** The output projection; a model without one takes the embedding table again. */
const PROJECTION = /^output\.weight$/;
const EMBEDDING = /^token_embd\.weight$/;
/** What every block needs and the file has once: factors of the rotary embedding (Llama 3.1, Phi-3). */
const SHARED = /^rope_(?:freqs|factors_\w+)(?:\.|$)/;
/** Bounds how often a tensor may be counted; there are three names. */
export const MAX_SHARED_TENSORS = 8;
/** A layer that predicts further tokens counts as a block in GGUF, after the last one. */
const PREDICTION = /^nextn\./;

/**
 * Finds the parts of a GGUF model by the names of its tensors, which are the same for all architectures. Tensors that the file has
 * once for all blocks belong to each of them.
 *
 * @param claimed the number of blocks that the metadata tells, layers that predict further tokens included
 * @param path names the model in errors
 * @throws CalyxError `unsupported` if it has no such blocks, `invalid-model` if it contradicts its metadata
 */
export function mapGgufBlocks(
  tensors: readonly TensorLocation[],
  claimed: number | undefined,
  path: string,
): BlockMap {
  if (tensors.some(({ name }) => OTHER_STACKS.test(name)))
    throw new CalyxError('unsupported', `${path}: encoder-decoder models cannot be cut into blocks`, {
      hint: 'Calyx serves decoder models (Llama, Mistral, Qwen, DeepSeek, Gemma, Falcon, ...)',
    });
  const layers = new Map<number, { ordinals: number[]; predicting: boolean; name: string }>();
  const embed: number[] = [];
  const head: number[] = [];
  const shared: number[] = [];
  const embeddings: number[] = [];
  const projects = tensors.some(({ name }) => PROJECTION.test(name));
  tensors.forEach(({ name }, ordinal) => {
    const match = BLOCK.exec(name);
    if (match !== null) {
      const number = Number(match[1]);
      const layer = layers.get(number) ?? { ordinals: [], predicting: false, name };
      layers.set(number, layer);
      layer.ordinals.push(ordinal);
      layer.predicting ||= PREDICTION.test(match[2] ?? '');
      return;
    }
    (SHARED.test(name) ? shared : HEAD.test(name) ? head : embed).push(ordinal);
    if (EMBEDDING.test(name)) embeddings.push(ordinal);
  });
  if (layers.size === 0 && (claimed === undefined || embed.length + head.length === 0))
    throw new CalyxError('unsupported', `${path}: no blocks among its ${tensors.length} tensors`, {
      hint: 'Calyx looks for names such as blk.0.attn_q.weight',
    });
  if (shared.length > MAX_SHARED_TENSORS)
    throw new CalyxError(
      'invalid-model',
      `${path} has ${shared.length} tensors that all blocks need, more than any model has`,
    );
  if (layers.size === 0) embed.push(...shared);
  let blockCount = claimed ?? Math.max(...layers.keys()) + 1;
  if (blockCount > MAX_BLOCK_COUNT)
    throw new CalyxError('invalid-model', `${path} claims ${blockCount} blocks, more than any model has`);
  while (blockCount > 1 && layers.get(blockCount - 1)?.predicting === true) blockCount -= 1;
  const blocks: number[][] = Array.from({ length: blockCount }, () => []);
  for (const [number, { ordinals, predicting, name }] of layers) {
    if (number < blockCount) blocks[number] = inOrder([...ordinals, ...shared]);
    else if (predicting) head.push(...ordinals);
    else
      throw new CalyxError(
        'invalid-model',
        `${path}: its metadata says ${blockCount} blocks, but the tensor ${JSON.stringify(name)} belongs to block ${number}`,
        { hint: 'download or export this file again' },
      );
  }
  if (!projects && head.length > 0) head.push(...embeddings);
  return { blockCount, embed, blocks, head };
}

function inOrder(ordinals: readonly number[]): number[] {
  return [...ordinals].sort((a, b) => a - b);
}
