import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { Manifest, type ManifestFile } from './manifest.js';

const MIB = 1024 * 1024;
const digestOf = (text: string): Buffer => createHash('sha256').update(text).digest();

/** A file whose chunk digests are the SHA-256 of `PATH0`, `PATH1`, ... */
function file(
  path: string,
  size: number,
  chunks: number,
  tensors: [string, number, number][] = [],
): ManifestFile {
  return {
    path,
    size,
    blob: digestOf(path).toString('hex'),
    chunkDigests: Buffer.concat(Array.from({ length: chunks }, (_, index) => digestOf(`${path}${index}`))),
    tensors: tensors.map(([name, offset, length]) => ({
      name,
      dtype: 'U8',
      shape: [length],
      offset,
      length,
    })),
  };
}

// Chunks of `b`: header 0+100 | a.0 100+4 MiB, +1 MiB | gap 5 MiB+100, +28 | a.1 +9 MiB: 4, 4, 1 | tail 14 MiB+128, +2
const weights = file('b', 14 * MIB + 130, 8, [
  ['a.0', 100, 5 * MIB],
  ['a.1', 5 * MIB + 128, 9 * MIB],
]);
const text = file('a', 8 * MIB, 2);
const more = file('d', 50, 2, [['a.2', 10, 40]]);
const manifest = new Manifest([text, weights, file('c', 0, 0), more], {
  blockCount: 2,
  embed: [0],
  blocks: [[1], []],
  head: [2],
});

test('chunks lie where the contract says', () => {
  const layout = manifest.layout(weights);
  expect(Array.from({ length: layout.count }, (_, index) => layout.extent(index))).toEqual([
    { offset: 0, length: 100 },
    { offset: 100, length: 4_194_304 },
    { offset: 4_194_404, length: 1_048_576 },
    { offset: 5_242_980, length: 28 },
    { offset: 5_243_008, length: 4_194_304 },
    { offset: 9_437_312, length: 4_194_304 },
    { offset: 13_631_616, length: 1_048_576 },
    { offset: 14_680_192, length: 2 },
  ]);
});

test('chunk gives the extent and the digest of its index', () => {
  expect(manifest.chunk(weights, 2)).toEqual({
    blob: weights.blob,
    offset: 4_194_404,
    length: 1_048_576,
    digest: digestOf('b2').toString('hex'),
  });
  expect(() => manifest.chunk(weights, 8)).toThrow(RangeError);
  expect(() => manifest.chunk(weights, -1)).toThrow(RangeError);
});

test.each([
  ['all', 0, 14 * MIB + 130, [0, 1, 2, 3, 4, 5, 6, 7]],
  ['one tensor', 100, 5 * MIB, [1, 2]],
  ['the last byte of one chunk and the first of the next', 4_194_403, 2, [1, 2]],
  ['a byte at the start of a chunk', 4_194_404, 1, [2]],
  ['a byte at the end of a chunk', 4_194_403, 1, [1]],
  ['the last byte', 14 * MIB + 129, 1, [7]],
  ['nothing', 500, 0, []],
])('chunks of %s', (_, offset, length, expected) => {
  const digests = [...manifest.chunks(weights, offset, length)].map((chunk) => chunk.digest);
  expect(digests).toEqual(expected.map((index) => digestOf(`b${index}`).toString('hex')));
});

test('a tensor is found by its ordinal over all files', () => {
  expect(manifest.tensor(0)).toMatchObject({ name: 'a.0', file: { path: 'b' } });
  expect(manifest.tensor(1)).toMatchObject({ name: 'a.1', file: { path: 'b' } });
  expect(manifest.tensor(2)).toMatchObject({ name: 'a.2', file: { path: 'd' }, offset: 10 });
  expect(() => manifest.tensor(3)).toThrow(RangeError);
  expect(() => manifest.tensor(-1)).toThrow(RangeError);
});

test('files are found by path and by blob', () => {
  expect(manifest.file('b')).toBe(weights);
  expect(manifest.file('B')).toBeUndefined();
  expect(manifest.fileOfBlob(more.blob)).toBe(more);
  expect(manifest.fileOfBlob('0'.repeat(64))).toBeUndefined();
  expect(manifest.totalBytes).toBe(8 * MIB + 14 * MIB + 130 + 50);
});

test('two files with one content may be cut differently', () => {
  // A shard, and the same bytes under a name that no index lists: the second has no tensors.
  const copy = { ...file('e', 50, 1), blob: more.blob };
  const both = new Manifest([more, copy], { blockCount: 0, embed: [], blocks: [], head: [] });
  expect(both.layout(more).count).toBe(2);
  expect(both.layout(copy).count).toBe(1);
  expect(both.chunk(copy, 0)).toMatchObject({
    offset: 0,
    length: 50,
    digest: digestOf('e0').toString('hex'),
  });
});
