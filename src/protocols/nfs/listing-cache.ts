import type { Directory, FileTree } from '../../catalog/file-tree.js';
import { Recent } from '../../core/recent.js';
import { listingOf, type ListingEntry } from './listing.js';

type Listing = readonly ListingEntry[];

interface Kept {
  readonly change: bigint;
  readonly entries: Listing;
}

/** Names that are kept for one tree, in all its directories together: some tens of megabytes. */
const MAX_NAMES = 200_000;
/** What a directory counts at least: so that very many small ones take no more. */
const MIN_WEIGHT = MAX_NAMES / 256;

// By tree, because clients that may see different things have different trees. A tree that is gone takes its listings along.
const listings = new WeakMap<FileTree, Recent<string, Kept>>();

/** What {@link listingOf} gives; asked again only when the directory's version differs, since a listing takes many calls to read. */
export async function cachedListing(tree: FileTree, directory: Directory): Promise<Listing> {
  const kept = listings.get(tree) ?? new Recent<string, Kept>(MAX_NAMES);
  listings.set(tree, kept);
  const key = Buffer.from(directory.handle).toString('latin1');
  // Before the listing: one that is newer than its version is asked for once more, one that is older would stay.
  const { change } = await directory.version();
  const found = kept.get(key);
  if (found?.change === change) return found.entries;
  const entries = await listingOf(directory);
  if (entries.length <= MAX_NAMES) kept.set(key, { change, entries }, Math.max(entries.length, MIN_WEIGHT));
  else kept.delete(key);
  return entries;
}
