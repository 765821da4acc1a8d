import { XdrError } from './xdr-error.js';
import { XdrReader } from './xdr-reader.js';
import { XdrWriter, type Payload } from './xdr-writer.js';

/**
 * How values of a type stand in XDR (RFC 4506). Codecs are values that are built from smaller ones; the type is inferred, and
 * everything of variable length has a maximum.
 *
 * @example
 * const point = struct({ x: uint32, label: opaque(16) });
 * type Point = Infer<typeof point>; // { x: number; label: Uint8Array }
 */
export interface Codec<T> {
  encode(writer: XdrWriter, value: T): void;
  /** Throws XdrError. */
  decode(reader: XdrReader): T;
}

/** Any codec, whatever its type. */
export interface AnyCodec {
  encode(writer: XdrWriter, value: never): void;
  decode(reader: XdrReader): unknown;
}

/** The type of a codec's values. */
export type Infer<C extends AnyCodec> = ReturnType<C['decode']>;

/** Decodes all of `bytes`; throws XdrError, also if bytes are left over. */
export function decodeWhole<T>(codec: Codec<T>, bytes: Uint8Array): T {
  const reader = new XdrReader(bytes);
  const value = codec.decode(reader);
  reader.end();
  return value;
}

/** Encodes one value into one buffer. */
export function encodeWhole<T>(codec: Codec<T>, value: T): Uint8Array {
  const writer = new XdrWriter();
  codec.encode(writer, value);
  const written = writer.finish();
  const bytes = Buffer.concat(written.buffers);
  written.release();
  return bytes;
}

export const uint32: Codec<number> = {
  encode: (writer, value) => writer.uint32(value),
  decode: (reader) => reader.uint32(),
};

export const int32: Codec<number> = {
  encode: (writer, value) => writer.int32(value),
  decode: (reader) => reader.int32(),
};

export const uint64: Codec<bigint> = {
  encode: (writer, value) => writer.uint64(value),
  decode: (reader) => reader.uint64(),
};

export const int64: Codec<bigint> = {
  encode: (writer, value) => writer.int64(value),
  decode: (reader) => reader.int64(),
};

/** An offset or a size: an unsigned hyper as a number, see `XdrReader.position64`. */
export const position64: Codec<number> = {
  encode: (writer, value) => writer.position64(value),
  decode: (reader) => reader.position64(),
};

export const bool: Codec<boolean> = {
  encode: (writer, value) => writer.uint32(value ? 1 : 0),
  decode: (reader) => {
    const value = reader.uint32();
    if (value > 1) throw new XdrError(`${value} is no boolean`);
    return value === 1;
  },
};

/** Nothing. */
export const nothing: Codec<undefined> = { encode: () => undefined, decode: () => undefined };

/** Always `length` bytes. */
export function fixedOpaque(length: number): Codec<Uint8Array> {
  return {
    encode: (writer, value) => {
      if (value.byteLength !== length) throw new XdrError(`${value.byteLength} bytes instead of ${length}`);
      writer.fixedOpaque(value);
    },
    decode: (reader) => reader.fixedOpaque(length),
  };
}

/** At most `max` bytes. */
export function opaque(max: number): Codec<Uint8Array> {
  return {
    encode: (writer, value) => writeOpaque(writer, value, max),
    decode: (reader) => reader.opaque(max),
  };
}

function writeOpaque(writer: XdrWriter, value: Uint8Array, max: number): void {
  if (value.byteLength > max) throw new XdrError(`${value.byteLength} bytes where at most ${max} may stand`);
  writer.opaque(value);
}

/** Bytes that are passed on rather than copied; decoding gives a view. At most `max` bytes when decoded. */
export function payload(max: number): Codec<Payload> {
  return {
    encode: (writer, value) => writer.payload(value),
    decode: (reader) => ({ parts: [reader.opaque(max)], release: () => undefined }),
  };
}

/** Text in UTF-8 of at most `max` bytes; refuses bytes that are not UTF-8. A byte order mark is a part of the text. */
export function text(max: number): Codec<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  return {
    encode: (writer, value) => writeOpaque(writer, Buffer.from(value), max),
    decode: (reader) => {
      const bytes = reader.opaque(max);
      try {
        return decoder.decode(bytes);
      } catch {
        throw new XdrError('text is not UTF-8');
      }
    },
  };
}

/** One of the named numbers. */
export function enumeration<const Names extends Readonly<Record<string, number>>>(
  names: Names,
): Codec<keyof Names & string> {
  const byNumber = new Map(Object.entries(names).map(([name, value]) => [value, name]));
  return {
    encode: (writer, value) => {
      const number = names[value];
      if (number === undefined) throw new XdrError(`there is no ${value}`);
      writer.int32(number);
    },
    decode: (reader) => {
      const number = reader.int32();
      const name = byNumber.get(number);
      if (name === undefined) throw new XdrError(`${number} is none of ${Object.keys(names).join(', ')}`);
      return name;
    },
  };
}

/** Items with their number before them, at most `max`. */
export function array<T>(item: Codec<T>, max: number): Codec<readonly T[]> {
  return {
    encode: (writer, value) => {
      if (value.length > max) throw new XdrError(`${value.length} items where at most ${max} may stand`);
      writer.uint32(value.length);
      for (const each of value) item.encode(writer, each);
    },
    decode: (reader) => {
      const length = reader.uint32();
      if (length > max) throw new XdrError(`${length} items where at most ${max} may stand`);
      const items: T[] = [];
      for (let index = 0; index < length; index += 1) items.push(item.decode(reader));
      return items;
    },
  };
}

/** A value or none (RFC 4506, section 4.19). */
export function optional<T>(item: Codec<T>): Codec<T | undefined> {
  return {
    encode: (writer, value) => {
      bool.encode(writer, value !== undefined);
      if (value !== undefined) item.encode(writer, value);
    },
    decode: (reader) => (bool.decode(reader) ? item.decode(reader) : undefined),
  };
}

/** Items that each announce the next, as RPC programs write lists; at most `max`. */
export function list<T>(item: Codec<T>, max: number): Codec<readonly T[]> {
  const next = optional(item);
  return {
    encode: (writer, value) => {
      for (const each of value) next.encode(writer, each);
      bool.encode(writer, false);
    },
    decode: (reader) => {
      const items: T[] = [];
      for (let item = next.decode(reader); item !== undefined; item = next.decode(reader)) {
        if (items.length >= max) throw new XdrError(`more than ${max} items`);
        items.push(item);
      }
      return items;
    },
  };
}

type Fields = Readonly<Record<string, AnyCodec>>;
type StructOf<F extends Fields> = { readonly [Name in keyof F]: Infer<F[Name]> };

/** Fields in order. */
export function struct<const F extends Fields>(fields: F): Codec<StructOf<F>> {
  const entries = Object.entries(fields);
  return {
    encode: (writer, value) => {
      for (const [name, codec] of entries) codec.encode(writer, value[name] as never);
    },
    decode: (reader) => {
      const value: Record<string, unknown> = {};
      for (const [name, codec] of entries) value[name] = codec.decode(reader);
      return value as StructOf<F>;
    },
  };
}

type Arms = Readonly<Record<string, readonly [discriminant: number, codec: AnyCodec]>>;
type UnionOf<A extends Arms> = {
  [Name in keyof A & string]: { readonly kind: Name; readonly value: Infer<A[Name][1]> };
}[keyof A & string];

/**
 * One of several arms, told by the number before it; refuses others.
 *
 * @example
 * union({ now: [1, nothing], at: [2, uint64] }) // { kind: 'now', value: undefined } | { kind: 'at', value: bigint }
 */
export function union<const A extends Arms>(arms: A): Codec<UnionOf<A>> {
  const byNumber = new Map(Object.entries(arms).map(([kind, [number, codec]]) => [number, { kind, codec }]));
  return {
    encode: (writer, { kind, value }) => {
      const arm = arms[kind];
      if (arm === undefined) throw new XdrError(`there is no arm ${kind}`);
      writer.uint32(arm[0]);
      arm[1].encode(writer, value as never);
    },
    decode: (reader) => {
      const number = reader.uint32();
      const arm = byNumber.get(number);
      if (arm === undefined) throw new XdrError(`${number} is none of ${Object.keys(arms).join(', ')}`);
      return { kind: arm.kind, value: arm.codec.decode(reader) } as UnionOf<A>;
    },
  };
}
