import { createCipheriv, createHash } from 'node:crypto';
import { mkdir, open, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { dtypeBits } from '../../src/weights/dtype.js';
import { INDEX_FILE } from '../../src/weights/model-directory.js';
import { encodeHeader } from '../../src/weights/safetensors-header.js';

/** A tensor to be made up. */
export interface TensorSpec {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** A model directory to be made up. */
export interface CheckpointSpec {
  readonly config: Readonly<Record<string, unknown>>;
  /** In the order in which they are packed into shards. */
  readonly tensors: readonly TensorSpec[];
  /** A shard is closed before it would have more bytes of tensors than this. */
  readonly shardBytes: number;
  /** `random`: bytes of a keystream, the same at each call; `sparse`: zeros that take no space on the disk. */
  readonly fill: 'random' | 'sparse';
  /** Called with the bytes written since the last call. */
  readonly onBytes?: (bytes: number) => void;
}

/** What was made up. */
export interface Checkpoint {
  readonly shards: number;
  readonly tensors: number;
  /** Bytes of all shards. */
  readonly bytes: number;
}

/**
 * Writes a model directory: `config.json`, shards with real headers, and their index. Tensors are packed one after the other
 * until a shard is full, as exporters do, so that blocks straddle shards.
 */
export async function writeCheckpoint(directory: string, spec: CheckpointSpec): Promise<Checkpoint> {
  const shards = packShards(spec);
  await mkdir(directory, { recursive: true });
  const weightMap: Record<string, string> = {};
  let bytes = 0;
  let dataBytes = 0;
  for (const [index, tensors] of shards.entries()) {
    const name = `model-${ordinal(index + 1)}-of-${ordinal(shards.length)}.safetensors`;
    for (const tensor of tensors) weightMap[tensor.name] = name;
    const length = tensors.reduce((sum, tensor) => sum + tensor.length, 0);
    const header = encodeHeader(tensors);
    const file = await open(join(directory, name), 'w');
    try {
      await file.write(header, 0, header.byteLength, 0);
      if (spec.fill === 'sparse') await file.truncate(header.byteLength + length);
      else await writeRandomBytes(file, header.byteLength, length, name, spec.onBytes);
    } finally {
      await file.close();
    }
    dataBytes += length;
    bytes += header.byteLength + length;
  }
  await writeFile(join(directory, 'config.json'), json(spec.config));
  await writeFile(
    join(directory, INDEX_FILE),
    json({ metadata: { total_size: dataBytes }, weight_map: weightMap }),
  );
  return { shards: shards.length, tensors: spec.tensors.length, bytes };
}

/** Keystream bytes are made and written in pieces of this size. */
const PIECE_BYTES = 8 * 1024 * 1024;

/**
 * Writes `length` bytes of a keystream (AES-128-CTR): incompressible, at the speed of a disk, the same for the same `seed`.
 */
export async function writeRandomBytes(
  file: FileHandle,
  position: number,
  length: number,
  seed: string,
  onBytes?: (bytes: number) => void,
): Promise<void> {
  const key = createHash('sha256').update(seed).digest();
  const keystream = createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16));
  const zeros = Buffer.alloc(PIECE_BYTES);
  for (let done = 0; done < length;) {
    const piece = keystream.update(zeros.subarray(0, Math.min(PIECE_BYTES, length - done)));
    await file.write(piece, 0, piece.byteLength, position + done);
    done += piece.byteLength;
    onBytes?.(piece.byteLength);
  }
}

/** Bytes of a tensor's data. */
export function tensorBytes({ dtype, shape }: TensorSpec): number {
  return (shape.reduce((product, dimension) => product * dimension, 1) * (dtypeBits(dtype) ?? 0)) / 8;
}

function packShards({ tensors, shardBytes }: CheckpointSpec): (TensorSpec & { length: number })[][] {
  const shards: (TensorSpec & { length: number })[][] = [];
  let room = 0;
  for (const tensor of tensors) {
    const length = tensorBytes(tensor);
    const current = length <= room ? shards.at(-1) : undefined;
    if (current === undefined) {
      shards.push([{ ...tensor, length }]);
      room = shardBytes - length;
    } else {
      current.push({ ...tensor, length });
      room -= length;
    }
  }
  return shards;
}

function ordinal(number: number): string {
  return String(number).padStart(5, '0');
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
