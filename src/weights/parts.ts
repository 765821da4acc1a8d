import { dtypeBits } from './dtype.js';
import { encodeHeader } from './safetensors-header.js';
import type { Tensor } from './tensor.js';

/** The name of a part: `embed`, `head`, or a block's number. */
export type PartId = number | 'embed' | 'head';

/** The form in which a model has its weights; its parts have it too. */
export type WeightFormat = 'safetensors' | 'gguf';

/** The file that holds a part in a slice: `block-00004.safetensors`, `embed.safetensors`, `head.safetensors`; or `.gguf`. */
export function partFile(part: PartId, format: WeightFormat): string {
  return typeof part === 'number' ? `block-${String(part).padStart(5, '0')}.${format}` : `${part}.${format}`;
}

/** The part that a file of a slice holds, or undefined. */
export function partOfFile(file: string, format: WeightFormat): PartId | undefined {
  if (file === `embed.${format}`) return 'embed';
  if (file === `head.${format}`) return 'head';
  const block = /^block-(\d{5})\.(.+)$/.exec(file);
  return block === null || block[2] !== format ? undefined : Number(block[1]);
}

/** A part as a valid safetensors file: its header, then the data of its tensors in this order, without gaps. */
export interface PartLayout<T extends Tensor> {
  readonly header: Uint8Array;
  readonly tensors: readonly T[];
  /** Bytes of the file. */
  readonly size: number;
}

/**
 * Lays out a part. Wide element types come first, so that every tensor is aligned to its elements; otherwise the tensors
 * keep their order. The result depends on nothing but the tensors.
 */
export function layOutPart<T extends Tensor>(tensors: readonly T[]): PartLayout<T> {
  const ordered = [...tensors].sort((a, b) => (dtypeBits(b.dtype) ?? 0) - (dtypeBits(a.dtype) ?? 0));
  const header = encodeHeader(ordered);
  const size = ordered.reduce((sum, tensor) => sum + tensor.length, header.byteLength);
  return { header, tensors: ordered, size };
}
