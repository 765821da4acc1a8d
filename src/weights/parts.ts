import { dtypeBits } from './dtype.js';
import { encodeHeader } from './safetensors-header.js';
import type { Tensor } from './tensor.js';

/** The name of a part: `embed`, `head`, or a block's number. */
export type PartId = number | 'embed' | 'head';

/** The file that holds a part in a slice: `block-00004.safetensors`, `embed.safetensors`, `head.safetensors`. */
export function partFile(part: PartId): string {
  return typeof part === 'number'
    ? `block-${String(part).padStart(5, '0')}.safetensors`
    : `${part}.safetensors`;
}

/** The part that a file of a slice holds, or undefined. */
export function partOfFile(file: string): PartId | undefined {
  if (file === 'embed.safetensors') return 'embed';
  if (file === 'head.safetensors') return 'head';
  const block = /^block-(\d{5})\.safetensors$/.exec(file)?.[1];
  return block === undefined ? undefined : Number(block);
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
