import type { Directory, FileTree } from '../../catalog/file-tree.js';
import { listingOf, type ListingEntry } from './listing.js';

type Listing = readonly ListingEntry[];

interface Kept {
  readonly change: bigint;
  readonly entries: Listing;
}

/** Names that are kept for one tree, in all its directories together: some tens of megabytes. */
const MAX_NAMES = 200_000;
/** So that very many small directories take no more. */
const MAX_DIRECTORIES = 256;

// By tree, because clients that may see different things have different trees. A tree that is gone takes its listings along.
const listings = new WeakMap<FileTree, Map<string, Kept>>();

/** What {@link listingOf} gives; asked again only when the directory's version differs, since a listing takes many calls to read. */
export async function cachedListing(tree: FileTree, directory: Directory): Promise<Listing> {
  const kept = listings.get(tree) ?? new Map<string, Kept>();
  listings.set(tree, kept);
  const key = Buffer.from(directory.handle).toString('latin1');
  // Before the listing: one that is newer than its version is asked for once more, one that is older would stay.
  const { change } = await directory.version();
  const found = kept.get(key);
  const entries = found?.change === change ? found.entries : await listingOf(directory);
  kept.delete(key);
  if (entries.length <= MAX_NAMES) {
    kept.set(key, { change, entries });
    dropOldest(kept);
  }
  return entries;
}

function dropOldest(kept: Map<string, Kept>): void {
  let names = 0;
  for (const { entries } of kept.values()) names += entries.length;
  for (const [key, { entries }] of kept) {
    if (names <= MAX_NAMES && kept.size <= MAX_DIRECTORIES) return;
    kept.delete(key);
    names -= entries.length;
  }
}
