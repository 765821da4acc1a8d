import type { Directory, FileTree } from '../../catalog/file-tree.js';
import { listingOf, type ListingEntry } from '../nfs/listing.js';

/** Options of {@link ListingCache}. */
export interface ListingCacheOptions {
  /** Directories that are remembered. @default 64 */
  readonly maxDirectories?: number;
  /** Entries that are remembered, in all directories together; the latest directory is, whatever its size. @default 200000 */
  readonly maxEntries?: number;
}

const DEFAULTS = { maxDirectories: 64, maxEntries: 200_000 } as const;

interface Remembered {
  readonly change: bigint;
  readonly entries: Promise<readonly ListingEntry[]>;
  /** Known when the listing is there. */
  size: number;
}

/** Remembers sorted listings while their directories stay as they are, for a listing is read in many calls. */
export class ListingCache {
  readonly #maxDirectories: number;
  readonly #maxEntries: number;
  /** Clients of different addresses may see different entries under one handle, so each tree has listings of its own. */
  readonly #trees = new WeakMap<FileTree, number>();
  #treesSeen = 0;
  /** The one used longest ago stands first. */
  readonly #remembered = new Map<string, Remembered>();

  constructor(options: ListingCacheOptions = {}) {
    this.#maxDirectories = options.maxDirectories ?? DEFAULTS.maxDirectories;
    this.#maxEntries = options.maxEntries ?? DEFAULTS.maxEntries;
  }

  /**
   * The listing of a directory; `change` is its version, read before.
   *
   * @throws what the directory throws; that is not remembered
   */
  async entries(tree: FileTree, directory: Directory, change: bigint): Promise<readonly ListingEntry[]> {
    const key = `${this.#numberOf(tree)} ${Buffer.from(directory.handle).toString('latin1')}`;
    let found = this.#remembered.get(key);
    this.#remembered.delete(key);
    if (found?.change !== change) found = { change, entries: listingOf(directory), size: 0 };
    const used = found;
    this.#remembered.set(key, used);
    try {
      const entries = await used.entries;
      used.size = entries.length;
      this.#forgetOldest();
      return entries;
    } catch (error) {
      if (this.#remembered.get(key) === used) this.#remembered.delete(key);
      throw error;
    }
  }

  #numberOf(tree: FileTree): number {
    let number = this.#trees.get(tree);
    if (number === undefined) {
      number = this.#treesSeen += 1;
      this.#trees.set(tree, number);
    }
    return number;
  }

  #forgetOldest(): void {
    let entries = 0;
    for (const { size } of this.#remembered.values()) entries += size;
    for (const [key, { size }] of this.#remembered) {
      if (this.#remembered.size <= 1) break;
      if (entries <= this.#maxEntries && this.#remembered.size <= this.#maxDirectories) break;
      this.#remembered.delete(key);
      entries -= size;
    }
  }
}
