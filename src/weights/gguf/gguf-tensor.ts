import { isByteCount } from '../../core/byte-range.js';
import type { Tensor } from '../tensor.js';
import { invalidGguf, quoted } from './gguf-error.js';
import { ggmlTypeNamed, type GgmlType } from './ggml-type.js';

/** Names have at most 64 bytes and tensors at most four dimensions. Source: the GGUF specification. */
export const MAX_NAME_BYTES = 64;
export const MAX_DIMENSIONS = 4;

/**
 * Bytes of a tensor, or undefined if its shape is impossible: a dimension that is no count, a row that is not a whole number of
 * blocks, a product that a double does not hold.
 *
 * @param shape the shortest stride first, as GGUF writes it
 */
export function ggmlBytes(type: GgmlType, shape: readonly number[]): number | undefined {
  if (shape.length > MAX_DIMENSIONS) return undefined;
  let elements = 1;
  for (const dimension of shape) {
    if (!isByteCount(dimension) || !isByteCount(elements * dimension)) return undefined;
    elements *= dimension;
  }
  if ((shape[0] ?? 1) % type.elements !== 0) return undefined;
  const bytes = (elements / type.elements) * type.bytes;
  return isByteCount(bytes) ? bytes : undefined;
}

/**
 * Checks one tensor that came from outside against its type, its shape and its file.
 *
 * @throws CalyxError `invalid-model`
 */
export function checkGgufTensor(tensor: Tensor, fileSize: number, file: string): void {
  const { name, dtype, shape, offset, length } = tensor;
  const type = ggmlTypeNamed(dtype)?.type;
  if (name === '' || name === '__proto__' || Buffer.byteLength(name) > MAX_NAME_BYTES || !name.isWellFormed())
    throw invalidGguf(file, `${quoted(name)} is not usable as the name of a tensor`);
  if (type === undefined) throw invalidGguf(file, `tensor ${quoted(name)}: unknown type ${quoted(dtype)}`);
  const bytes = ggmlBytes(type, shape);
  if (bytes === undefined)
    throw invalidGguf(
      file,
      `tensor ${quoted(name)}: impossible shape [${shape.slice(0, MAX_DIMENSIONS).join(', ')}] for ${dtype}`,
    );
  if (bytes !== length)
    throw invalidGguf(
      file,
      `tensor ${quoted(name)}: ${dtype} [${shape.join(', ')}] takes ${bytes} bytes, not ${length}`,
    );
  if (!isByteCount(offset) || offset + length > fileSize)
    throw invalidGguf(
      file,
      `tensor ${quoted(name)}: its bytes ${offset} to ${offset + length} leave the file, which has ${fileSize}; ` +
        'the file was cut off or its header is wrong',
    );
}
