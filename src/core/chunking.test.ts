import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../test/support/expect-error.js';
import type { Extent } from './byte-range.js';
import { CHUNK_BYTES, ChunkLayout } from './chunking.js';

const MIB = 1024 * 1024;

function chunksOf(size: number, tensors: Extent[] = []): [number, number][] {
  const layout = ChunkLayout.of(size, tensors);
  return Array.from({ length: layout.count }, (_, index) => {
    const { offset, length } = layout.extent(index);
    return [offset, length];
  });
}

describe('ChunkLayout', () => {
  it('cuts each 4 MiB', () => {
    expect(CHUNK_BYTES).toBe(4_194_304);
  });

  it.each<[string, number, Extent[], [number, number][]]>([
    ['an empty file has no chunk', 0, [], []],
    ['a single byte', 1, [], [[0, 1]]],
    ['exactly one chunk', 4 * MIB, [], [[0, 4194304]]],
    [
      'one byte more than a chunk',
      4 * MIB + 1,
      [],
      [
        [0, 4194304],
        [4194304, 1],
      ],
    ],
    [
      'header, tensor, gap, tensor, tail',
      100,
      [
        { offset: 10, length: 20 },
        { offset: 40, length: 50 },
      ],
      [
        [0, 10],
        [10, 20],
        [30, 10],
        [40, 50],
        [90, 10],
      ],
    ],
    [
      'a tensor is cut from its own start, not from that of the file',
      9 * MIB,
      [{ offset: 8, length: 9 * MIB - 8 }],
      [
        [0, 8],
        [8, 4194304],
        [4194312, 4194304],
        [8388616, 1048568],
      ],
    ],
    [
      'what follows a tensor is cut from its end',
      10 * MIB,
      [{ offset: 0, length: 1 }],
      [
        [0, 1],
        [1, 4194304],
        [4194305, 4194304],
        [8388609, 2097151],
      ],
    ],
    [
      'empty tensors change nothing, wherever they lie',
      8,
      [
        { offset: 0, length: 0 },
        { offset: 2, length: 6 },
        { offset: 5, length: 0 },
        { offset: 8, length: 0 },
      ],
      [
        [0, 2],
        [2, 6],
      ],
    ],
  ])('%s', (_, size, tensors, expected) => {
    expect(chunksOf(size, tensors)).toEqual(expected);
  });

  it.each<[string, number, Extent[]]>([
    [
      'overlapping',
      10,
      [
        { offset: 0, length: 5 },
        { offset: 4, length: 2 },
      ],
    ],
    [
      'descending',
      10,
      [
        { offset: 5, length: 2 },
        { offset: 0, length: 2 },
      ],
    ],
    ['one byte past the end', 10, [{ offset: 4, length: 7 }]],
  ])('refuses %s extents', async (_, size, tensors) => {
    await expectError(() => ChunkLayout.of(size, tensors), 'invalid-model', 'extent');
  });

  it('finds the chunk of a byte', () => {
    const layout = ChunkLayout.of(100, [{ offset: 10, length: 20 }]);
    expect([0, 9, 10, 29, 30, 99].map((position) => layout.indexAt(position))).toEqual([0, 0, 1, 1, 2, 2]);
    expect(() => layout.extent(3)).toThrow(RangeError);
    expect(() => layout.extent(-1)).toThrow(RangeError);
  });

  it('covers any file without gaps, in chunks of at most 4 MiB, of which none spans two tensors', () => {
    const length = fc.oneof(
      fc.integer({ min: 0, max: 50 }),
      fc.integer({ min: 0, max: 14 * MIB }),
      fc.constantFrom(4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 8 * MIB),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(length, length), { maxLength: 12 }), length, (pieces, tail) => {
        let position = 0;
        const tensors = pieces.map(([gap, bytes]) => {
          const offset = position + gap;
          position = offset + bytes;
          return { offset, length: bytes };
        });
        const size = position + tail;
        const layout = ChunkLayout.of(size, tensors);
        const starts = new Set<number>();
        let next = 0;
        for (let index = 0; index < layout.count; index += 1) {
          const chunk = layout.extent(index);
          expect(chunk.offset).toBe(next);
          expect(chunk.length).toBeGreaterThan(0);
          expect(chunk.length).toBeLessThanOrEqual(4_194_304);
          expect(layout.indexAt(chunk.offset)).toBe(index);
          expect(layout.indexAt(chunk.offset + chunk.length - 1)).toBe(index);
          starts.add(chunk.offset);
          next += chunk.length;
        }
        expect(next).toBe(size);
        for (const tensor of tensors) {
          if (tensor.length === 0) continue;
          // With a border at its start and another at its end, no chunk can reach across one.
          expect(starts.has(tensor.offset)).toBe(true);
          expect(starts.has(tensor.offset + tensor.length) || tensor.offset + tensor.length === size).toBe(
            true,
          );
        }
      }),
    );
  });
});
