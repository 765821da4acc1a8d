import type { Tensor } from '../tensor.js';
import { ggmlTypeNamed } from './ggml-type.js';
import { GGUF_MAGIC, GGUF_START_BYTES } from './gguf-header.js';
import type { GgufMetadata } from './gguf-metadata.js';

/** The version that parts have. Version 2 differs from it only in that it cannot be big-endian. */
const VERSION = 3;

/**
 * A part as a valid GGUF file: `start`, the extents of further metadata in the model's file, `descriptions`, then each tensor with
 * zeros behind it up to the alignment.
 */
export interface GgufPartLayout {
  /** Magic, version, counts, and the metadata that every part carries. */
  readonly start: Uint8Array;
  /** What describes the tensors, with the padding before their data. */
  readonly descriptions: Uint8Array;
  /** Zeros behind each tensor. */
  readonly padding: readonly number[];
}

/**
 * Lays out a part. The result depends on nothing but the tensors and the metadata.
 *
 * @param further true for the part that carries all of the metadata
 */
export function layOutGgufPart(
  tensors: readonly Tensor[],
  metadata: GgufMetadata,
  further: boolean,
): GgufPartLayout {
  const { alignment, pairCount, pairs, furtherCount } = metadata;
  const start = Buffer.alloc(GGUF_START_BYTES + pairs.byteLength);
  start.write(GGUF_MAGIC, 'latin1');
  start.writeUInt32LE(VERSION, 4);
  start.writeBigUInt64LE(BigInt(tensors.length), 8);
  start.writeBigUInt64LE(BigInt(pairCount + (further ? furtherCount : 0)), 16);
  start.set(pairs, GGUF_START_BYTES);
  const padding = tensors.map(({ length }) => paddingAfter(length, alignment));
  let offset = 0;
  const described = tensors.map((tensor, index) => {
    const bytes = describe(tensor, offset);
    offset += tensor.length + (padding[index] ?? 0);
    return bytes;
  });
  const furtherBytes = further ? metadata.further.reduce((sum, { length }) => sum + length, 0) : 0;
  const end =
    start.byteLength + furtherBytes + described.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const descriptions = Buffer.concat([...described, Buffer.alloc(paddingAfter(end, alignment))]);
  return { start, descriptions, padding };
}

/** Name, dimensions, type, offset from where the data begins. Source: the GGUF specification, `gguf_tensor_info_t`. */
function describe({ name, shape, dtype }: Tensor, offset: number): Buffer {
  const type = ggmlTypeNamed(dtype);
  if (type === undefined) throw new Error(`a tensor was not checked: ${name} is ${dtype}`);
  const text = Buffer.from(name);
  const bytes = Buffer.alloc(8 + text.byteLength + 4 + 8 * shape.length + 4 + 8);
  let at = bytes.writeBigUInt64LE(BigInt(text.byteLength));
  at += text.copy(bytes, at);
  at = bytes.writeUInt32LE(shape.length, at);
  for (const dimension of shape) at = bytes.writeBigUInt64LE(BigInt(dimension), at);
  at = bytes.writeUInt32LE(type.id, at);
  bytes.writeBigUInt64LE(BigInt(offset), at);
  return bytes;
}

function paddingAfter(position: number, alignment: number): number {
  return (alignment - (position % alignment)) % alignment;
}
