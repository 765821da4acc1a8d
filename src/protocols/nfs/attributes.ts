import type { NodeTime, TreeNode } from '../../catalog/file-tree.js';

/** What NFS clients ask about a node, in no version's form. */
export interface NodeAttributes {
  readonly kind: 'directory' | 'file';
  /** Permission bits. */
  readonly mode: number;
  readonly links: number;
  /** Bytes. */
  readonly size: number;
  readonly fileId: bigint;
  readonly change: bigint;
  /** Of the last change of content and of attributes, which are the same. */
  readonly time: NodeTime;
}

/** Everyone may read; what an address may see at all is decided before. */
const FILE_MODE = 0o444;
const DIRECTORY_MODE = 0o555;
/** What a directory says to take, as one of ext4 does. */
const DIRECTORY_BYTES = 4096;

/** One file system for everything, the same on every replica; a client tells nodes of one apart by their file ids. */
export const FILE_SYSTEM_ID = { major: 0xca1b_ca1bn, minor: 1n } as const;

/** Owner and group of everything. */
export const OWNER = { uid: 0, gid: 0 } as const;

/** The attributes of a node at this moment. */
export async function attributesOf(node: TreeNode): Promise<NodeAttributes> {
  const version = node.version();
  const { change, time } = version instanceof Promise ? await version : version;
  return {
    kind: node.kind,
    mode: node.kind === 'directory' ? DIRECTORY_MODE : FILE_MODE,
    // One, as on file systems that do not count subdirectories: two would tell `find` that there are none.
    links: 1,
    size: node.kind === 'directory' ? DIRECTORY_BYTES : node.size,
    fileId: node.fileId,
    change,
    time,
  };
}
