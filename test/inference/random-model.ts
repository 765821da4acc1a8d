import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A tensor to write: its values will be stored as `dtype`. */
export interface Sketch {
  name: string;
  shape: number[];
  dtype: 'F32' | 'F16' | 'BF16';
}

/** Writes random weights to `model.safetensors` in `directory` and returns the stored values, widened. */
export function writeRandomModel(
  directory: string,
  sketches: readonly Sketch[],
  seed: number,
): Map<string, Float64Array<ArrayBuffer>> {
  const random = mulberry32(seed);
  const values = new Map<string, Float64Array<ArrayBuffer>>();
  const header: Record<string, unknown> = {};
  const parts: Buffer[] = [];
  let offset = 0;
  for (const { name, shape, dtype } of sketches) {
    const count = shape.reduce((product, size) => product * size, 1);
    const scale = /norm/.test(name) ? 0.3 : name.endsWith('.bias') ? 0.2 : 1.2 / Math.sqrt(shape.at(-1) ?? 1);
    const centre = /norm/.test(name) ? 1 : 0;
    const data = Float64Array.from({ length: count }, () => centre + scale * (2 * random() - 1));
    const bytes = encode(data, dtype);
    values.set(name, decode(bytes, dtype));
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes.length] };
    parts.push(bytes);
    offset += bytes.length;
  }
  // An odd number of spaces, so that the tensors lie at offsets that no alignment would give.
  const json = Buffer.from(`${JSON.stringify(header)}   `);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(join(directory, 'model.safetensors'), Buffer.concat([length, json, ...parts]));
  return values;
}

/** Widens stored values; also for fixtures. */
export function decode(bytes: Buffer, dtype: string): Float64Array<ArrayBuffer> {
  const width = dtype === 'F32' ? 4 : 2;
  return Float64Array.from({ length: bytes.length / width }, (_, i) => {
    if (dtype === 'F32') return bytes.readFloatLE(i * 4);
    return dtype === 'BF16' ? fromBits(bytes.readUInt16LE(i * 2) << 16) : fromHalf(bytes.readUInt16LE(i * 2));
  });
}

function encode(values: Float64Array, dtype: Sketch['dtype']): Buffer {
  if (dtype === 'F32') return Buffer.from(Float32Array.from(values).buffer);
  const result = Buffer.alloc(values.length * 2);
  // Cutting off is as good as rounding here: the stored value is what both sides compute with.
  values.forEach((value, i) =>
    result.writeUInt16LE(dtype === 'BF16' ? toBits(value) >>> 16 : toHalf(value), i * 2),
  );
  return result;
}

const scratch = new DataView(new ArrayBuffer(4));

function toBits(value: number): number {
  scratch.setFloat32(0, value);
  return scratch.getUint32(0);
}

function fromBits(bits: number): number {
  scratch.setUint32(0, bits >>> 0);
  return scratch.getFloat32(0);
}

/** Normal numbers only; smaller ones become zero. */
function toHalf(value: number): number {
  const bits = toBits(value);
  const exponent = ((bits >>> 23) & 0xff) - 127 + 15;
  const sign = (bits >>> 16) & 0x8000;
  return exponent <= 0 ? sign : sign | (exponent << 10) | ((bits >>> 13) & 0x3ff);
}

function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
