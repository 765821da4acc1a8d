import { isByteCount } from '../core/byte-range.js';
import { CalyxError } from '../core/errors.js';
import { parseStrictJson, type StrictJson } from '../core/strict-json.js';
import { dtypeBits } from './dtype.js';
import type { Tensor } from './tensor.js';

/** The header begins after its own length, a little-endian u64. Source: the safetensors format. */
export const HEADER_LENGTH_BYTES = 8;

/** The longest header that the reference implementation accepts. */
export const MAX_HEADER_BYTES = 100_000_000;

/** How other files begin that are found in the place of weights. As lengths of headers all of these would be absurd. */
const FOREIGN: readonly (readonly [magic: string, what: string, hint: string])[] = [
  [
    'version ',
    'it is a git-lfs pointer',
    "get the weights themselves: 'git lfs pull' in the model's directory",
  ],
  [
    '<',
    'it is a web page',
    'the download needs a login or an accepted licence; download it again with a token',
  ],
  ['GGUF', 'it is a GGUF file', 'give the safetensors form of the model'],
  ['PK\u0003\u0004', 'it is a PyTorch pickle', 'give the safetensors form of the model'],
  ['{', 'it is JSON', "give the model's directory, or one of its .safetensors files"],
];

/** More dimensions or longer names than any model has, so that hostile ones end early. */
const MAX_DIMENSIONS = 16;
const MAX_NAME_BYTES = 1024;

/** Not a tensor: the one entry of a header that holds notes. */
const METADATA_NAME = '__metadata__';

/**
 * Reads the length field.
 *
 * @param bytes the file's first 8 bytes
 * @param fileSize the size of the whole file in bytes
 * @param file names the file in errors
 * @returns the length of the JSON that follows, in bytes
 * @throws CalyxError `invalid-model`
 */
export function parseHeaderLength(bytes: Uint8Array, fileSize: number, file: string): number {
  if (bytes.byteLength < HEADER_LENGTH_BYTES || fileSize < HEADER_LENGTH_BYTES) {
    throw invalid(
      file,
      `the file has ${fileSize} bytes, too few for a safetensors header; it was cut off or is no such file`,
    );
  }
  const length = new DataView(bytes.buffer, bytes.byteOffset, HEADER_LENGTH_BYTES).getBigUint64(0, true);
  const tooLong = length > BigInt(MAX_HEADER_BYTES) || length > BigInt(fileSize - HEADER_LENGTH_BYTES);
  if (tooLong) checkForeign(bytes, file);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw invalid(
      file,
      `its header claims ${length} bytes, more than the ${MAX_HEADER_BYTES} that the format allows`,
    );
  }
  if (length > BigInt(fileSize - HEADER_LENGTH_BYTES)) {
    throw invalid(
      file,
      `its header claims ${length} bytes, but the file has only ${fileSize}; it was cut off or is no such file`,
    );
  }
  return Number(length);
}

/** Tells what a file is that does not begin with the length of a header. */
function checkForeign(bytes: Uint8Array, file: string): void {
  const start = Buffer.from(bytes).toString('latin1');
  const foreign = FOREIGN.find(([magic]) => start.startsWith(magic));
  if (foreign === undefined) return;
  const [, what, hint] = foreign;
  throw new CalyxError('invalid-model', `${file}: ${what}, not a safetensors file`, { hint });
}

/**
 * Reads the JSON of a header and checks it: every tensor lies inside the file, fits its dtype and shape and overlaps no
 * other one.
 *
 * @param json the bytes after the length field
 * @param fileSize the size of the whole file in bytes
 * @param file names the file in errors
 * @returns the tensors by ascending offset
 * @throws CalyxError `invalid-model` naming the file, the tensor and what is wrong
 */
export function parseHeader(json: Uint8Array, fileSize: number, file: string): Tensor[] {
  const dataStart = HEADER_LENGTH_BYTES + json.byteLength;
  const header = parseStrictJson(decodeText(json, file), `${file}: header`);
  if (!(header instanceof Map)) throw invalid(file, 'its header is not a JSON object');
  const tensors: Tensor[] = [];
  for (const [name, entry] of header) {
    if (name === METADATA_NAME) checkMetadata(entry, file);
    else tensors.push(readTensor(name, entry, dataStart, fileSize, file));
  }
  tensors.sort((a, b) => a.offset - b.offset || a.length - b.length);
  checkOverlap(tensors, file);
  return tensors;
}

/** Throws if two of the tensors (ascending by offset) share bytes. */
export function checkOverlap(tensors: readonly Tensor[], file: string): void {
  let last: Tensor | undefined;
  for (const tensor of tensors) {
    if (tensor.length === 0) continue;
    if (last !== undefined && tensor.offset < last.offset + last.length) {
      throw invalid(file, `the tensors ${quote(last.name)} and ${quote(tensor.name)} overlap`);
    }
    last = tensor;
  }
}

/**
 * Checks one tensor that came from outside against its dtype, its shape and its file.
 *
 * @throws CalyxError `invalid-model`
 */
export function checkTensor(tensor: Tensor, fileSize: number, file: string): void {
  const { name, dtype, shape, offset, length } = tensor;
  if (
    name === '' ||
    name === '__proto__' ||
    name === METADATA_NAME ||
    Buffer.byteLength(name) > MAX_NAME_BYTES ||
    !name.isWellFormed()
  ) {
    throw invalid(file, `${quote(name)} is not usable as the name of a tensor`);
  }
  const bits = dtypeBits(dtype);
  if (bits === undefined) throw invalid(file, `tensor ${quote(name)}: unknown dtype ${quote(dtype)}`);
  if (!isByteCount(offset) || !isByteCount(length) || offset + length > fileSize) {
    throw invalid(
      file,
      `tensor ${quote(name)}: its bytes ${offset} to ${offset + length} leave the file, which has ${fileSize}; ` +
        'the file was cut off or its header is wrong',
    );
  }
  const elements = countElements(shape);
  if (elements === undefined || !isByteCount(elements * bits)) {
    throw invalid(
      file,
      `tensor ${quote(name)}: impossible shape [${shape.slice(0, MAX_DIMENSIONS).join(', ')}]`,
    );
  }
  if (elements * bits !== length * 8) {
    throw invalid(
      file,
      `tensor ${quote(name)}: ${dtype} [${shape.join(', ')}] takes ${(elements * bits) / 8} bytes, but its offsets span ${length}`,
    );
  }
}

/** The product of the dimensions; undefined if one of them is no count or a product on the way to it is not exact. */
function countElements(shape: readonly number[]): number | undefined {
  if (shape.length > MAX_DIMENSIONS) return undefined;
  let product = 1;
  for (const dimension of shape) {
    if (!isByteCount(dimension) || !isByteCount(product * dimension)) return undefined;
    product *= dimension;
  }
  return product;
}

/**
 * Writes a complete header: length field, JSON, padded with spaces to a multiple of 8 bytes. The tensors' data is expected
 * behind it in the order given, without gaps. The same tensors give the same bytes.
 */
export function encodeHeader(
  tensors: readonly Pick<Tensor, 'name' | 'dtype' | 'shape' | 'length'>[],
): Uint8Array {
  let position = 0;
  const entries = tensors.map(({ name, dtype, shape, length }) => {
    const offsets = [position, (position += length)];
    return `${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: offsets })}`;
  });
  // Loaders of PyTorch models ask for this metadata entry.
  const json = Buffer.from(`{${['"__metadata__":{"format":"pt"}', ...entries].join(',')}}`);
  const padded = Math.ceil(json.byteLength / 8) * 8;
  const header = Buffer.alloc(HEADER_LENGTH_BYTES + padded, ' ');
  header.writeBigUInt64LE(BigInt(padded));
  header.set(json, HEADER_LENGTH_BYTES);
  return header;
}

function readTensor(
  name: string,
  entry: StrictJson,
  dataStart: number,
  fileSize: number,
  file: string,
): Tensor {
  const dtype = entry instanceof Map ? entry.get('dtype') : undefined;
  const shape = entry instanceof Map ? entry.get('shape') : undefined;
  const offsets = entry instanceof Map ? entry.get('data_offsets') : undefined;
  if (
    !(entry instanceof Map) ||
    entry.size !== 3 ||
    typeof dtype !== 'string' ||
    !isNumbers(shape) ||
    !isNumbers(offsets)
  ) {
    throw invalid(file, `tensor ${quote(name)}: its entry is not {dtype, shape, data_offsets}`);
  }
  const [begin, end] = offsets;
  if (offsets.length !== 2 || !isByteCount(begin) || !isByteCount(end) || begin > end) {
    throw invalid(
      file,
      `tensor ${quote(name)}: data_offsets [${offsets.slice(0, 4).join(', ')}] is not a range`,
    );
  }
  const tensor = { name, dtype, shape, offset: dataStart + begin, length: end - begin };
  checkTensor(tensor, fileSize, file);
  return tensor;
}

function checkMetadata(entry: StrictJson, file: string): void {
  if (!(entry instanceof Map) || ![...entry.values()].every((value) => typeof value === 'string')) {
    throw invalid(file, 'the __metadata__ of its header is not an object of strings');
  }
}

function isNumbers(value: StrictJson | undefined): value is number[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'number');
}

function decodeText(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new CalyxError('invalid-model', `${file}: its header is not UTF-8; it is no safetensors file`, {
      cause: error,
    });
  }
}

function quote(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}...` : text);
}

function invalid(file: string, problem: string): CalyxError {
  return new CalyxError('invalid-model', `${file}: ${problem}`, {
    hint: 'download or export this file again',
  });
}
