import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodeManifest, encodeManifest } from '../../src/catalog/manifest-codec.js';
import { isCalyxError } from '../../src/core/errors.js';
import { decodeTensorMessage, encodeTensorMessage } from '../../src/inference/tensor-message.js';
import { parseHeader, parseHeaderLength } from '../../src/weights/safetensors-header.js';
import { ROOT } from '../support/directories.js';

/** Rounds for each format; `CALYX_LONG_ROUNDS` sets another number. */
const ROUNDS = Number(process.env['CALYX_LONG_ROUNDS'] ?? 30_000);

/** `CALYX_LONG_SEED` replays a run; each failure names its seed and round. */
const SEED = Number(process.env['CALYX_LONG_SEED'] ?? 20_261_123);

/** Nothing that is this small may take longer to refuse, in milliseconds. */
const LONGEST_MS = 2_000;

/** A small random generator (mulberry32), so that a run can be replayed. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const WORDS = [
  '"',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '0',
  '-1',
  '1e400',
  '9007199254740993',
  'null',
  '\\u0000',
  '__proto__',
  'BF16',
  ' ',
];

/** Changes bytes, cuts, repeats, or puts in what formats care about. */
function mutate(original: Uint8Array, random: (below: number) => number): Buffer {
  let bytes = Buffer.from(original);
  for (let count = 1 + random(4); count > 0; count -= 1) {
    const at = random(bytes.byteLength + 1);
    const kind = random(5);
    if (kind === 0 && at < bytes.byteLength) bytes[at] = random(256);
    else if (kind === 1) bytes = bytes.subarray(0, at);
    else if (kind === 2)
      bytes = Buffer.concat([
        bytes.subarray(0, at),
        Buffer.from(WORDS[random(WORDS.length)] ?? ''),
        bytes.subarray(at),
      ]);
    else if (kind === 3) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(40))]);
    else bytes = Buffer.concat([bytes, bytes.subarray(at, at + random(200))]);
  }
  return bytes;
}

/** Feeds mutations to a reader: it may refuse them with our error, or give a result that `check` accepts. */
function storm<T>(
  original: Uint8Array,
  read: (bytes: Buffer) => T,
  check: (value: T, bytes: Buffer) => void,
): void {
  let accepted = 0;
  let refused = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const bytes = mutate(original, randomNumbers(SEED + round));
    const startedAt = performance.now();
    try {
      const value = read(bytes);
      check(value, bytes);
      accepted += 1;
    } catch (error) {
      if (!isCalyxError(error))
        throw new Error(`seed ${SEED}, round ${round}: ${String(error)}`, { cause: error });
      refused += 1;
    }
    expect(performance.now() - startedAt, `seed ${SEED}, round ${round} took too long`).toBeLessThan(
      LONGEST_MS,
    );
  }
  // Both outcomes were seen, so the mutations are neither harmless nor all fatal.
  expect(refused).toBeGreaterThan(ROUNDS / 100);
  expect(accepted + refused).toBe(ROUNDS);
}

describe('bytes from strangers', () => {
  it('a mutated safetensors header is refused, or gives tensors that lie in the file', () => {
    const file = readFileSync(join(ROOT, 'test/fixtures/models/qwen3/model-00001-of-00006.safetensors'));
    const length = parseHeaderLength(file, file.byteLength, 'x');
    const data = file.byteLength - 8 - length;
    storm(
      file.subarray(8, 8 + length),
      (json) => parseHeader(json, 8 + json.byteLength + data, 'mutated'),
      (tensors, json) => {
        for (const tensor of tensors) {
          expect(tensor.offset).toBeGreaterThanOrEqual(8 + json.byteLength);
          expect(tensor.offset + tensor.length).toBeLessThanOrEqual(8 + json.byteLength + data);
        }
      },
    );
  });

  it('a mutated manifest is refused, or is canonical', () => {
    const manifest = readFileSync(join(ROOT, 'test/vectors/small.manifest'));
    storm(manifest, decodeManifest, (value, bytes) =>
      expect(Buffer.from(encodeManifest(value)).equals(bytes)).toBe(true),
    );
  });

  it('a mutated tensor message is refused, or has as many numbers as its shape says', () => {
    const message = Buffer.concat(
      encodeTensorMessage({ name: 'hidden_states', shape: [1, 3, 8], data: new Float32Array(24) }),
    );
    storm(message, decodeTensorMessage, ({ shape, data }) =>
      expect(data.length).toBe(shape.reduce((product, size) => product * size, 1)),
    );
  });
});
