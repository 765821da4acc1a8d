/** Values of GGUF's metadata as a test writes them: the number of the type, and the bytes of the value. */
export interface RawValue {
  readonly type: number;
  readonly bytes: Uint8Array;
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

const u64 = (value: number | bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};

const text = (value: string | Uint8Array): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.byteLength), bytes]);
};

/** Makes values of each kind, right or wrong, without the code under test. */
export const raw = {
  u32,
  u64,
  text,
  number: (value: number): RawValue => ({ type: 4, bytes: u32(value) }),
  string: (value: string | Uint8Array): RawValue => ({ type: 8, bytes: text(value) }),
  list: (type: number, count: number | bigint, items: Uint8Array): RawValue => ({
    type: 9,
    bytes: Buffer.concat([u32(type), u64(count), items]),
  }),
  strings: (...items: string[]): RawValue => raw.list(8, items.length, Buffer.concat(items.map(text))),
};

/** A tensor of a header, right or wrong. */
export interface RawTensor {
  readonly name: string | Uint8Array;
  /** The shortest stride first. @default [8] */
  readonly shape?: readonly (number | bigint)[];
  /** Instead of the true number of dimensions. */
  readonly dimensions?: number;
  /** @default 0, F32 */
  readonly type?: number;
  readonly offset: number | bigint;
}

/** A GGUF file. */
export interface RawGguf {
  /** @default 3 */
  readonly version?: number;
  /** Instead of the true number of tensors. */
  readonly tensorCount?: bigint;
  /** Instead of the true number of pairs. */
  readonly pairCount?: bigint;
  readonly pairs?: readonly (readonly [key: string | Uint8Array, value: RawValue])[];
  readonly tensors?: readonly RawTensor[];
  /** To which the header is padded. @default 32 */
  readonly alignment?: number;
  /** Bytes behind the header, zeros if only their number is given. @default 32 */
  readonly data?: number | Uint8Array;
}

/** The bytes of a GGUF file with any header, written without the code under test. */
export function rawGguf(gguf: RawGguf = {}): Buffer {
  const { version = 3, pairs = [], tensors = [], alignment = 32, data = 32 } = gguf;
  const header = Buffer.concat([
    Buffer.from('GGUF'),
    u32(version),
    u64(gguf.tensorCount ?? tensors.length),
    u64(gguf.pairCount ?? pairs.length),
    ...pairs.flatMap(([key, { type, bytes }]) => [text(key), u32(type), bytes]),
    ...tensors.flatMap(({ name, shape = [8], dimensions, type = 0, offset }) => [
      text(name),
      u32(dimensions ?? shape.length),
      ...shape.map(u64),
      u32(type),
      u64(offset),
    ]),
  ]);
  const padding = Buffer.alloc((alignment - (header.byteLength % alignment)) % alignment);
  return Buffer.concat([header, padding, typeof data === 'number' ? Buffer.alloc(data) : data]);
}

/** A whole model of one row of eight numbers for each name; its blocks are counted in the metadata. */
export function smallGguf(names: readonly string[], blocks: number, gguf: RawGguf = {}): Buffer {
  return rawGguf({
    ...gguf,
    pairs: [
      ['general.architecture', raw.string('llama')],
      ['llama.block_count', raw.number(blocks)],
      ...(gguf.pairs ?? []),
    ],
    tensors: names.map((name, index) => ({ name, offset: 32 * index })),
    data: Buffer.alloc(32 * names.length, 'calyx'),
  });
}
