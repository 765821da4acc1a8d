import { createHash } from 'node:crypto';
import type { Digest } from '../core/digest.js';

/**
 * The port through which protocols show files: they look up, list and translate, and know nothing of models. A file is a list
 * of segments, each literal bytes or a range of a blob, so a file that exists nowhere as one piece costs no storage.
 */
export interface Directory {
  readonly kind: 'directory';
  /** The entry of this name, listed or not; undefined if there is none. */
  lookup(name: string): Promise<TreeNode | undefined>;
  /** The names that a listing shows. */
  list(): Promise<readonly string[]>;
}

/** A file that never changes. */
export interface TreeFile {
  readonly kind: 'file';
  /** Bytes. */
  readonly size: number;
  /** In order; their lengths add up to `size`. */
  readonly segments: readonly Segment[];
}

export type TreeNode = Directory | TreeFile;

/** A piece of a file. */
export type Segment = LiteralSegment | BlobSegment;

/** Bytes that stand in no blob, such as the header of a part. */
export interface LiteralSegment {
  readonly literal: Uint8Array;
}

/** A range of a blob. */
export interface BlobSegment {
  readonly blob: Digest;
  readonly offset: number;
  readonly length: number;
}

/** Bytes of a segment. */
export function segmentLength(segment: Segment): number {
  return 'literal' in segment ? segment.literal.byteLength : segment.length;
}

/** A file made of `segments`. */
export function treeFile(segments: readonly Segment[]): TreeFile {
  return { kind: 'file', size: segments.reduce((sum, segment) => sum + segmentLength(segment), 0), segments };
}

/** A file of these bytes. */
export function literalFile(content: Uint8Array | string): TreeFile {
  return treeFile([{ literal: typeof content === 'string' ? Buffer.from(content) : content }]);
}

/** A directory of fixed entries. */
export function staticDirectory(entries: ReadonlyMap<string, TreeNode>): Directory {
  return {
    kind: 'directory',
    lookup: (name) => Promise.resolve(entries.get(name)),
    list: () => Promise.resolve([...entries.keys()]),
  };
}

/**
 * Follows a path of names from a directory.
 *
 * @returns undefined if an entry is missing or a file stands in the way
 */
export async function walkTree(root: Directory, path: readonly string[]): Promise<TreeNode | undefined> {
  let node: TreeNode | undefined = root;
  for (const name of path) {
    if (node?.kind !== 'directory') return undefined;
    node = await node.lookup(name);
  }
  return node;
}

const identities = new WeakMap<TreeFile, Digest>();

/**
 * Tells files apart by what they are made of: a SHA-256 over their segments, so blobs need not be read. Files with the same
 * segments have the same one.
 */
export function fileIdentity(file: TreeFile): Digest {
  let identity = identities.get(file);
  if (identity === undefined) {
    const hash = createHash('sha256');
    for (const segment of file.segments) {
      if ('literal' in segment)
        hash.update(`literal ${segment.literal.byteLength}\n`).update(segment.literal);
      else hash.update(`blob ${segment.blob} ${segment.offset} ${segment.length}\n`);
    }
    identity = hash.digest('hex');
    identities.set(file, identity);
  }
  return identity;
}

/** The pieces of `[offset, offset + length)` of a file, in order. */
export function sliceSegments(file: TreeFile, offset: number, length: number): Segment[] {
  const end = Math.min(offset + length, file.size);
  const pieces: Segment[] = [];
  let position = 0;
  for (const segment of file.segments) {
    const size = segmentLength(segment);
    const from = Math.max(offset - position, 0);
    const to = Math.min(end - position, size);
    if (from < to) {
      pieces.push(
        'literal' in segment
          ? { literal: segment.literal.subarray(from, to) }
          : { blob: segment.blob, offset: segment.offset + from, length: to - from },
      );
    }
    position += size;
    if (position >= end) break;
  }
  return pieces;
}
