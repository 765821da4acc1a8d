import { createHash } from 'node:crypto';
import type { Digest } from '../core/digest.js';
import type { ModelName } from '../core/names.js';

/**
 * The port through which protocols show files: they look up, list and translate, and know nothing of models. Every node has a
 * handle by which any replica with the same catalog finds it again.
 */
export interface FileTree {
  readonly root: Directory;
  /**
   * The node of a handle.
   *
   * @returns undefined if what the handle names is not here any more, or was hidden
   * @throws CalyxError (or rejects with it): `usage` if no tree ever made such a handle
   */
  find(handle: Uint8Array): TreeNode | undefined | Promise<TreeNode | undefined>;
}

/** What all nodes have, the same on every replica and after every restart. */
export interface NodeIdentity {
  /** At most 64 bytes; nodes of one handle are one node. */
  readonly handle: Uint8Array;
  /** A number for the handle, between 2 and 2^63 - 1. */
  readonly fileId: bigint;
  /** Differs whenever what the node shows differs. Of files it never does. */
  version(): NodeVersion | Promise<NodeVersion>;
}

/** A state of a node. */
export interface NodeVersion {
  /** Differs from that of any other state. */
  readonly change: bigint;
  /** Derived from the content, not from a clock. */
  readonly time: NodeTime;
}

/** Time since 1970. */
export interface NodeTime {
  readonly seconds: number;
  readonly nanoseconds: number;
}

export interface Directory extends NodeIdentity {
  readonly kind: 'directory';
  /** The entry of this name, listed or not; undefined if there is none. */
  lookup(name: string): Promise<TreeNode | undefined>;
  /** The names that a listing shows. */
  list(): Promise<readonly string[]>;
  /** The directory above; of the root itself. Undefined if that is gone. */
  parent(): Promise<Directory | undefined>;
}

/** The content of a file, which never changes: segments, so that a file that exists nowhere as one piece takes no storage. */
export interface TreeFile {
  readonly kind: 'file';
  /** Bytes. */
  readonly size: number;
  /** In order; their lengths add up to `size`. */
  readonly segments: readonly Segment[];
}

/** A file in a tree. */
export interface FileNode extends NodeIdentity, TreeFile {
  /** What must stay while somebody reads the file. */
  readonly revision: { readonly model: ModelName; readonly revision: string };
}

export type TreeNode = Directory | FileNode;

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
