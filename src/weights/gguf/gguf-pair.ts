import type { Extent } from '../../core/byte-range.js';
import type { GgufCursor } from './gguf-cursor.js';
import { invalidGguf, quoted } from './gguf-error.js';

/** A key of the metadata, and where the pair lies in its file. */
export interface GgufPair extends Extent {
  readonly key: string;
  /** Of a number, a boolean or a short string; not of lists and long strings. 64-bit numbers are rounded. */
  readonly value: number | boolean | string | undefined;
}

/** Value types. Source: the GGUF specification, `gguf_metadata_value_type`. */
const TYPE = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
} as const;

const SCALAR_BYTES: ReadonlyMap<number, number> = new Map([
  [TYPE.u8, 1],
  [TYPE.i8, 1],
  [TYPE.u16, 2],
  [TYPE.i16, 2],
  [TYPE.u32, 4],
  [TYPE.i32, 4],
  [TYPE.f32, 4],
  [TYPE.bool, 1],
  [TYPE.u64, 8],
  [TYPE.i64, 8],
  [TYPE.f64, 8],
]);

/** A key may have 65,535 bytes by the specification; real ones have 50. */
const MAX_KEY_BYTES = 65_535;
/** Strings that are looked at: names of architectures and the like. */
const MAX_VALUE_BYTES = 256;
/** Lists in lists: the specification sets no limit, and no file has any. */
const MAX_DEPTH = 4;
/** Length fields of a string and of a list (with the type of its items). */
const STRING_BYTES = 8;
const ARRAY_BYTES = 12;
/** The shortest pair: a key of one byte, a type, a value of one byte. */
export const PAIR_BYTES = STRING_BYTES + 1 + 4 + 1;

/** Reads one pair. Throws CalyxError `invalid-model`. */
export function readPair(cursor: GgufCursor): GgufPair {
  const offset = cursor.position;
  const key = cursor.text(MAX_KEY_BYTES, 'the name of a metadata key');
  if (key === '') throw invalidGguf(cursor.file, 'a metadata key has no name');
  const value = readValue(cursor, cursor.u32('a metadata value'), `the metadata ${quoted(key)}`);
  return { key, value, offset, length: cursor.position - offset };
}

function readValue(cursor: GgufCursor, type: number, what: string): GgufPair['value'] {
  if (type === TYPE.string) {
    const start = cursor.position;
    cursor.skipText(what);
    const bytes = cursor.slice(start + STRING_BYTES, cursor.position - start - STRING_BYTES);
    return bytes.byteLength > MAX_VALUE_BYTES ? undefined : Buffer.from(bytes).toString('utf8');
  }
  if (type === TYPE.array) {
    skipArray(cursor, what, 1);
    return undefined;
  }
  const bytes = SCALAR_BYTES.get(type);
  if (bytes === undefined) throw invalidGguf(cursor.file, `${what} has the unknown type ${type}`);
  const start = cursor.skip(bytes, what);
  return scalar(cursor.slice(start, bytes), type);
}

function skipArray(cursor: GgufCursor, what: string, depth: number): void {
  if (depth > MAX_DEPTH)
    throw invalidGguf(cursor.file, `${what} has lists in lists, more than ${MAX_DEPTH} deep`);
  const type = cursor.u32(what);
  const bytes =
    type === TYPE.string ? STRING_BYTES : type === TYPE.array ? ARRAY_BYTES : SCALAR_BYTES.get(type);
  if (bytes === undefined) throw invalidGguf(cursor.file, `${what} is a list of the unknown type ${type}`);
  const count = cursor.count(bytes, `the number of items of ${what}`);
  if (type !== TYPE.string && type !== TYPE.array) {
    cursor.skip(count * bytes, what);
    return;
  }
  for (let index = 0; index < count; index += 1) {
    if (type === TYPE.string) cursor.skipText(what);
    else skipArray(cursor, what, depth + 1);
  }
}

function scalar(bytes: Uint8Array, type: number): number | boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (type) {
    case TYPE.u8:
      return view.getUint8(0);
    case TYPE.i8:
      return view.getInt8(0);
    case TYPE.u16:
      return view.getUint16(0, true);
    case TYPE.i16:
      return view.getInt16(0, true);
    case TYPE.u32:
      return view.getUint32(0, true);
    case TYPE.i32:
      return view.getInt32(0, true);
    case TYPE.f32:
      return view.getFloat32(0, true);
    case TYPE.bool:
      return view.getUint8(0) !== 0;
    case TYPE.u64:
      return Number(view.getBigUint64(0, true));
    case TYPE.i64:
      return Number(view.getBigInt64(0, true));
    default:
      return view.getFloat64(0, true);
  }
}
