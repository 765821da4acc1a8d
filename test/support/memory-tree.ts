import {
  literalFile,
  treeFile,
  type Directory,
  type FileNode,
  type FileTree,
  type NodeVersion,
  type Segment,
  type TreeNode,
} from '../../src/catalog/file-tree.js';
import { CalyxError } from '../../src/core/errors.js';

/** What stands at a path of a {@link MemoryTree}: the bytes of a file, its segments, or `directory`. */
export type MemoryEntry = string | Uint8Array | readonly Segment[] | typeof directory;

/** An empty directory in a {@link MemoryTree}; directories on the way to another entry appear by themselves. */
export const directory = Symbol('directory');

const MAGIC = Buffer.from('tree');
const HANDLE_BYTES = 12;

/**
 * A tree in memory that tests change while it is served. Handles are the word `tree` and the file id in 8 bytes; file ids count from 2
 * in the order in which nodes were made. Each change moves the version of the directory that it happens in by 1, and its time by a second.
 *
 * @example
 * const tree = new MemoryTree({ 'models/org/name/config.json': '{}', 'slices': directory });
 */
export class MemoryTree implements FileTree {
  readonly #nodes = new Map<bigint, MemoryNode>();
  #nextFileId = 2n;
  readonly root: MemoryDirectory;

  constructor(entries: Readonly<Record<string, MemoryEntry>> = {}) {
    this.root = this.#directory(undefined);
    for (const [path, entry] of Object.entries(entries)) this.put(path, entry);
  }

  find(handle: Uint8Array): TreeNode | undefined {
    const bytes = Buffer.from(handle);
    if (bytes.byteLength !== HANDLE_BYTES || !bytes.subarray(0, 4).equals(MAGIC))
      throw new CalyxError('usage', `no tree made the handle ${bytes.toString('hex')}`);
    return this.#nodes.get(bytes.readBigUInt64BE(4));
  }

  /** Makes or replaces an entry. */
  put(path: string, entry: MemoryEntry): TreeNode {
    const { parent, name } = this.#place(path);
    this.#forget(parent.entries.get(name));
    const node = entry === directory ? this.#directory(parent) : this.#file(entry);
    parent.entries.set(name, node);
    parent.touch();
    return node;
  }

  /** Removes an entry; its handle, and those of all below it, become stale. */
  remove(path: string): void {
    const { parent, name } = this.#place(path);
    this.#forget(parent.entries.get(name));
    parent.entries.delete(name);
    parent.touch();
  }

  /** Takes an entry out of the listing; it can still be looked up. */
  hide(path: string): void {
    const { parent, name } = this.#place(path);
    parent.hidden.add(name);
    parent.touch();
  }

  /** The node at a path; throws if there is none. */
  at(path: string): TreeNode {
    let node: MemoryNode | undefined = this.root;
    for (const name of namesOf(path)) node = node?.kind === 'directory' ? node.entries.get(name) : undefined;
    if (node === undefined) throw new Error(`the tree has no ${path}`);
    return node;
  }

  /** The directory at a path. */
  directoryAt(path: string): MemoryDirectory {
    const node = this.at(path);
    if (!(node instanceof MemoryDirectory)) throw new Error(`${path} is no directory`);
    return node;
  }

  #place(path: string): { parent: MemoryDirectory; name: string } {
    const names = namesOf(path);
    const name = names.pop();
    if (name === undefined) throw new Error('the root cannot be replaced');
    let parent = this.root;
    for (const each of names) {
      let next = parent.entries.get(each);
      if (next?.kind !== 'directory') {
        next = this.#directory(parent);
        parent.entries.set(each, next);
        parent.touch();
      }
      parent = next;
    }
    return { parent, name };
  }

  #directory(parent: MemoryDirectory | undefined): MemoryDirectory {
    const made = new MemoryDirectory(
      this.#identity(),
      parent,
      (node) => this.#nodes.get(node.fileId) === node,
    );
    this.#nodes.set(made.fileId, made);
    return made;
  }

  #file(content: Exclude<MemoryEntry, typeof directory>): FileNode {
    const version: NodeVersion = { change: 1n, time: { seconds: 1_700_000_000, nanoseconds: 123_456_789 } };
    const file =
      typeof content === 'string' || content instanceof Uint8Array ? literalFile(content) : treeFile(content);
    const revision = { model: { org: 'org', name: 'name' }, revision: 'f'.repeat(40) };
    const made: FileNode = { ...file, ...this.#identity(), version: () => version, revision };
    this.#nodes.set(made.fileId, made);
    return made;
  }

  #identity(): { handle: Uint8Array; fileId: bigint } {
    const fileId = this.#nextFileId++;
    const handle = Buffer.alloc(HANDLE_BYTES);
    MAGIC.copy(handle);
    handle.writeBigUInt64BE(fileId, 4);
    return { handle, fileId };
  }

  #forget(node: MemoryNode | undefined): void {
    if (node === undefined) return;
    this.#nodes.delete(node.fileId);
    if (node.kind === 'directory') for (const child of node.entries.values()) this.#forget(child);
  }
}

type MemoryNode = MemoryDirectory | FileNode;

/** A directory of a {@link MemoryTree}. */
export class MemoryDirectory implements Directory {
  readonly kind = 'directory';
  readonly handle: Uint8Array;
  readonly fileId: bigint;
  readonly entries = new Map<string, MemoryNode>();
  readonly hidden = new Set<string>();
  readonly #parent: MemoryDirectory | undefined;
  readonly #isHere: (node: MemoryDirectory) => boolean;
  #changes = 0;

  constructor(
    identity: { readonly handle: Uint8Array; readonly fileId: bigint },
    parent: MemoryDirectory | undefined,
    isHere: (node: MemoryDirectory) => boolean,
  ) {
    this.handle = identity.handle;
    this.fileId = identity.fileId;
    this.#parent = parent;
    this.#isHere = isHere;
  }

  version(): NodeVersion {
    return {
      change: BigInt(this.#changes + 1),
      time: { seconds: 1_600_000_000 + this.#changes, nanoseconds: 5 },
    };
  }

  /** Says that something changed. */
  touch(): void {
    this.#changes += 1;
  }

  lookup(name: string): Promise<TreeNode | undefined> {
    return Promise.resolve(this.entries.get(name));
  }

  list(): Promise<readonly string[]> {
    return Promise.resolve([...this.entries.keys()].filter((name) => !this.hidden.has(name)));
  }

  parent(): Promise<Directory | undefined> {
    if (this.#parent === undefined) return Promise.resolve(this);
    return Promise.resolve(this.#isHere(this.#parent) ? this.#parent : undefined);
  }
}

function namesOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '');
}
