import { createRequire } from 'node:module';
import type { Tensor } from 'onnxruntime-common';
import type { BlockRange } from '../core/block-range.js';
import type { DecoderConfig } from './decoder-config.js';
import { GraphNames } from './graph/decoder-graph.js';

// Loading onnxruntime-common by `require` gives the very module that onnxruntime-node uses; its native part knows no other
// Tensor class.
const { Tensor: OrtTensor } = createRequire(import.meta.url)('onnxruntime-common') as {
  Tensor: typeof Tensor;
};

/** A cache begins with room for this many positions and doubles from there. */
const FIRST_CAPACITY = 256;

/** Bytes of keys and values for one position over all of `blocks`. */
export function kvBytesPerToken(config: DecoderConfig, blocks: BlockRange): number {
  return (
    (blocks.end - blocks.start) * 2 * config.kvHeadCount * config.headDim * Float32Array.BYTES_PER_ELEMENT
  );
}

/**
 * The keys and values of one session: for each block two tensors `[1, kvHeads, capacity, headDim]`. The same tensors are
 * the graph's inputs and outputs, so a step writes its new rows in place and copies nothing.
 */
export class KvCache {
  readonly #config: DecoderConfig;
  readonly #blocks: BlockRange;
  readonly #maxTokens: number;
  #capacity: number;
  #keys: Tensor[];
  #values: Tensor[];

  constructor(config: DecoderConfig, blocks: BlockRange, maxTokens: number) {
    this.#config = config;
    this.#blocks = blocks;
    this.#maxTokens = maxTokens;
    this.#capacity = Math.min(FIRST_CAPACITY, maxTokens);
    const allocate = (): Tensor[] =>
      Array.from({ length: blocks.end - blocks.start }, () => this.#tensor(this.#capacity));
    this.#keys = allocate();
    this.#values = allocate();
  }

  /** Makes room for `length` positions, keeping the first `used`. `length` must not be above the session's maximum. */
  reserve(length: number, used: number): void {
    if (length <= this.#capacity) return;
    const capacity = Math.min(Math.max(length, 2 * this.#capacity), this.#maxTokens);
    const grow = (old: Tensor): Tensor => {
      const { kvHeadCount, headDim } = this.#config;
      const grown = this.#tensor(capacity);
      const from = old.data as Float32Array;
      const to = grown.data as Float32Array;
      for (let head = 0; head < kvHeadCount; head += 1) {
        const start = head * this.#capacity * headDim;
        to.set(from.subarray(start, start + used * headDim), head * capacity * headDim);
      }
      return grown;
    };
    // One tensor after the other, so that only one is there twice at a time.
    for (const list of [this.#keys, this.#values])
      for (let i = 0; i < list.length; i += 1) list[i] = grow(list[i] as Tensor);
    this.#capacity = capacity;
  }

  /** Adds the tensors to the graph's inputs and outputs. */
  bind(feeds: Record<string, Tensor>, fetches: Record<string, Tensor | null>): void {
    for (let i = 0; i < this.#keys.length; i += 1) {
      const block = this.#blocks.start + i;
      const key = this.#keys[i] as Tensor;
      const value = this.#values[i] as Tensor;
      feeds[GraphNames.pastKey(block)] = key;
      feeds[GraphNames.pastValue(block)] = value;
      fetches[GraphNames.presentKey(block)] = key;
      fetches[GraphNames.presentValue(block)] = value;
    }
  }

  #tensor(capacity: number): Tensor {
    const { kvHeadCount, headDim } = this.#config;
    const dims = [1, kvHeadCount, capacity, headDim];
    return new OrtTensor('float32', new Float32Array(kvHeadCount * capacity * headDim), dims);
  }
}
