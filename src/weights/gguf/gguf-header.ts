import { isByteCount } from '../../core/byte-range.js';
import { CalyxError } from '../../core/errors.js';
import { checkOverlap } from '../safetensors-header.js';
import type { Tensor } from '../tensor.js';
import { ggmlType } from './ggml-type.js';
import { GgufCursor, MoreBytesNeeded } from './gguf-cursor.js';
import { invalidGguf, quoted } from './gguf-error.js';
import {
  ALIGNMENT_KEY,
  DEFAULT_ALIGNMENT,
  isAlignment,
  MAX_PAIRS,
  shareMetadata,
  type GgufMetadata,
} from './gguf-metadata.js';
import { PAIR_BYTES, readPair, type GgufPair } from './gguf-pair.js';
import { checkGgufTensor, ggmlBytes, MAX_DIMENSIONS, MAX_NAME_BYTES } from './gguf-tensor.js';

/** How a GGUF file begins. */
export const GGUF_MAGIC = 'GGUF';

/** Magic, version, number of tensors, number of pairs. */
export const GGUF_START_BYTES = 24;

/** What a GGUF file says of itself. */
export interface GgufHeader {
  readonly version: number;
  readonly pairs: readonly GgufPair[];
  /** What parts of the model carry of the pairs. */
  readonly metadata: GgufMetadata;
  /** Ascending by offset, which is absolute. The shape has the shortest stride first, as in the file. */
  readonly tensors: readonly Tensor[];
}

/** Far more than any model has: the experts of a layer are one tensor. */
const MAX_TENSORS = 100_000;
/** The shortest description of a tensor: a name of one byte, the number of dimensions, type, offset. */
const TENSOR_BYTES = 8 + 1 + 4 + 4 + 8;

/**
 * Reads the header of a GGUF file, version 2 or 3, little-endian, and checks it: every length before it is used, every tensor
 * against its type, its shape, the alignment and the file.
 *
 * @param bytes the beginning of the file
 * @param fileSize the size of the whole file in bytes
 * @param file names the file in errors
 * @returns undefined if the header is longer than `bytes`
 * @throws CalyxError `invalid-model` naming the file, the tensor or key and what is wrong; `unsupported`
 */
export function parseGgufHeader(bytes: Uint8Array, fileSize: number, file: string): GgufHeader | undefined {
  const cursor = new GgufCursor(bytes, fileSize, file);
  try {
    return readHeader(cursor);
  } catch (error) {
    if (error instanceof MoreBytesNeeded) return undefined;
    throw error;
  }
}

function readHeader(cursor: GgufCursor): GgufHeader {
  const { file, fileSize } = cursor;
  const magic = cursor.skip(4, 'the magic number');
  const start = Buffer.from(cursor.slice(magic, 4)).toString('latin1');
  if (start !== GGUF_MAGIC) throw invalidGguf(file, `it is no GGUF file: it begins with ${quoted(start)}`);
  const version = readVersion(cursor);
  const tensorCount = cursor.count(TENSOR_BYTES, 'the number of tensors');
  const pairCount = cursor.count(PAIR_BYTES, 'the number of metadata keys');
  if (tensorCount > MAX_TENSORS || pairCount > MAX_PAIRS)
    throw invalidGguf(
      file,
      `it claims ${tensorCount} tensors and ${pairCount} metadata keys, more than any model has`,
    );
  const pairs = readPairs(cursor, pairCount);
  const alignment = pairs.find(({ key }) => key === ALIGNMENT_KEY)?.value ?? DEFAULT_ALIGNMENT;
  if (!isAlignment(alignment))
    throw invalidGguf(
      file,
      `its general.alignment is ${String(alignment)}, not a multiple of 8 that is a power of two`,
    );
  const described = readTensors(cursor, tensorCount, alignment);
  const dataStart = Math.ceil(cursor.position / alignment) * alignment;
  const tensors = described.map((tensor) => ({ ...tensor, offset: dataStart + tensor.offset }));
  for (const tensor of tensors) checkGgufTensor(tensor, fileSize, file);
  tensors.sort((a, b) => a.offset - b.offset || a.length - b.length);
  checkOverlap(tensors, file);
  const bytes = ({ offset, length }: GgufPair): Uint8Array => cursor.slice(offset, length);
  return { version, pairs, metadata: shareMetadata(pairs, alignment, bytes, file), tensors };
}

function readVersion(cursor: GgufCursor): number {
  const version = cursor.u32('the version');
  if (version === 2 || version === 3) return version;
  const { file } = cursor;
  if (version % 0x1_0000 === 0 && version !== 0)
    throw new CalyxError('unsupported', `${file}: it is a big-endian GGUF file`, {
      hint: 'convert the model to a little-endian one: the gguf Python package has gguf-convert-endian',
    });
  if (version === 1)
    throw new CalyxError(
      'unsupported',
      `${file}: it is a GGUF file of version 1, which was used for some weeks of 2023`,
      {
        hint: 'convert the model again with a current llama.cpp, or download a newer file',
      },
    );
  throw new CalyxError('unsupported', `${file}: it is a GGUF file of the unknown version ${version}`, {
    hint: 'Calyx reads the versions 2 and 3; is there a newer Calyx?',
  });
}

function readPairs(cursor: GgufCursor, count: number): GgufPair[] {
  const pairs: GgufPair[] = [];
  const keys = new Set<string>();
  for (let index = 0; index < count; index += 1) {
    const pair = readPair(cursor);
    if (keys.has(pair.key))
      throw invalidGguf(cursor.file, `its metadata has the key ${quoted(pair.key)} twice`);
    keys.add(pair.key);
    pairs.push(pair);
  }
  return pairs;
}

/** The tensors with offsets relative to where the data begins, which is known at the end only. */
function readTensors(cursor: GgufCursor, count: number, alignment: number): Tensor[] {
  const { file } = cursor;
  const tensors: Tensor[] = [];
  const names = new Set<string>();
  for (let index = 0; index < count; index += 1) {
    const name = cursor.text(MAX_NAME_BYTES, 'the name of a tensor');
    if (names.has(name)) throw invalidGguf(file, `the tensor ${quoted(name)} appears twice`);
    names.add(name);
    const what = `the description of the tensor ${quoted(name)}`;
    const dimensions = cursor.u32(what);
    if (dimensions > MAX_DIMENSIONS)
      throw invalidGguf(file, `tensor ${quoted(name)}: it claims ${dimensions} dimensions`);
    const shape = Array.from({ length: dimensions }, () => Number(cursor.u64(what)));
    const id = cursor.u32(what);
    const type = ggmlType(id);
    if (type === undefined)
      throw new CalyxError('unsupported', `${file}: tensor ${quoted(name)} has the unknown type ${id}`, {
        hint: 'is there a newer Calyx? Types that ggml gave up need a newer file',
      });
    const length = ggmlBytes(type, shape);
    const offset = Number(cursor.u64(what));
    if (length === undefined)
      throw invalidGguf(
        file,
        `tensor ${quoted(name)}: impossible shape [${shape.join(', ')}] for ${type.name}`,
      );
    if (!isByteCount(offset) || offset % alignment !== 0)
      throw invalidGguf(
        file,
        `tensor ${quoted(name)}: its offset ${offset} is not a multiple of the alignment ${alignment}`,
      );
    tensors.push({ name, dtype: type.name, shape, offset, length });
  }
  return tensors;
}
