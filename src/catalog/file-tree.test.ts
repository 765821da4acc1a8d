import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { materialize } from '../../test/support/catalog.js';
import { testDirectory } from '../../test/support/directories.js';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  literalFile,
  segmentLength,
  sliceSegments,
  treeFile,
  walkTree,
  type Directory,
  type FileNode,
  type Segment,
  type TreeNode,
} from './file-tree.js';

const BLOB = Buffer.from(Array.from({ length: 256 }, (_, index) => index));

const literal = fc.uint8Array({ maxLength: 9 }).map((bytes): Segment => ({ literal: bytes }));
const blob = fc
  .tuple(fc.nat(200), fc.nat(12))
  .map(([offset, length]): Segment => ({ blob: 'b', offset, length }));
const segments = fc.array(fc.oneof(literal, blob), { maxLength: 8 });

describe('sliceSegments', () => {
  test('gives what the same range of the joined bytes is', () => {
    const path = join(testDirectory(), 'b');
    writeFileSync(path, BLOB);
    const bytesOf = (list: readonly Segment[]): Buffer => materialize(list, () => path);
    fc.assert(
      fc.property(segments, fc.nat(110), fc.nat(110), (list, offset, length) => {
        const file = treeFile(list);
        const whole = bytesOf(list);
        expect(file.size).toBe(whole.byteLength);
        const pieces = sliceSegments(file, offset, length);
        expect(bytesOf(pieces).equals(whole.subarray(offset, offset + length))).toBe(true);
        expect(pieces.every((piece) => segmentLength(piece) > 0)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  test('across a literal and two blobs', () => {
    const file = treeFile([
      { literal: Buffer.from('header') },
      { blob: 'x', offset: 1000, length: 10 },
      { blob: 'y', offset: 0, length: 5 },
    ]);
    expect(file.size).toBe(21);
    expect(sliceSegments(file, 4, 14)).toEqual([
      { literal: Buffer.from('er') },
      { blob: 'x', offset: 1000, length: 10 },
      { blob: 'y', offset: 0, length: 2 },
    ]);
    expect(sliceSegments(file, 8, 3)).toEqual([{ blob: 'x', offset: 1002, length: 3 }]);
    expect(sliceSegments(file, 16, 100)).toEqual([{ blob: 'y', offset: 0, length: 5 }]);
    expect(sliceSegments(file, 21, 1)).toEqual([]);
    expect(sliceSegments(file, 5, 0)).toEqual([]);
  });

  test('a literal is passed on, not copied', () => {
    const bytes = Buffer.from('abcdef');
    const [piece] = sliceSegments(literalFile(bytes), 2, 3);
    expect(piece !== undefined && 'literal' in piece && piece.literal.buffer === bytes.buffer).toBe(true);
  });

  test('offsets beyond 4 GiB', () => {
    const file = treeFile([
      { blob: 'x', offset: 2 ** 40, length: 2 ** 33 },
      { blob: 'y', offset: 3, length: 2 ** 33 },
    ]);
    expect(sliceSegments(file, 2 ** 33 - 1, 3)).toEqual([
      { blob: 'x', offset: 2 ** 40 + 2 ** 33 - 1, length: 1 },
      { blob: 'y', offset: 3, length: 2 },
    ]);
  });
});

describe('walkTree', () => {
  const identity = {
    handle: new Uint8Array(1),
    fileId: 2n,
    version: () => ({ change: 1n, time: { seconds: 0, nanoseconds: 0 } }),
  };
  const directory = (entries: Record<string, TreeNode>): Directory => ({
    ...identity,
    kind: 'directory',
    lookup: (name) => Promise.resolve(Object.hasOwn(entries, name) ? entries[name] : undefined),
    list: () => Promise.resolve(Object.keys(entries)),
    parent: () => Promise.resolve(undefined),
  });
  const file: FileNode = {
    ...literalFile('é'),
    ...identity,
    revision: { model: { org: 'o', name: 'n' }, revision: 'r' },
  };
  const root = directory({ a: directory({ f: file }), g: file });

  test('follows names', async () => {
    expect(await walkTree(root, [])).toBe(root);
    expect(await walkTree(root, ['a', 'f'])).toBe(file);
    expect(file.size).toBe(2);
    expect(await root.list()).toEqual(['a', 'g']);
  });

  test.each([[['b']], [['a', 'b']], [['g', 'x']], [['b', 'f']], [['']], [['a', '..', 'g']], [['__proto__']]])(
    '%j leads nowhere',
    async (path) => {
      expect(await walkTree(root, path)).toBeUndefined();
    },
  );
});
