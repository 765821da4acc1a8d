import type { Directory, TreeNode } from '../../catalog/file-tree.js';
import { describeNode } from '../nfs/failure.js';
import { cachedListing } from '../nfs/listing-cache.js';
import { entriesAfter, type ListingEntry } from '../nfs/listing.js';
import { encodeWhole, optional, type Codec } from '../xdr/codec.js';
import { XdrWriter } from '../xdr/xdr-writer.js';
import { entryNamed } from './entries.js';
import type { Nfs3Context } from './node-procedure.js';
import { reportFailure } from './report.js';
import { NFS3, Nfs3Error } from './status.js';

/** `.` and `..` come first; cookies of names are higher (see `listingOf`). Cookie 0 asks for the beginning. */
const DOTS: readonly ListingEntry[] = [
  { name: '.', cookie: 1n },
  { name: '..', cookie: 2n },
];

/** Lookups under way at once. */
const BATCH = 32;

/**
 * The cookie verifier, always the same: a cookie is made of its name, so it never becomes invalid, not even by changes of the directory
 * or on another replica. So nothing is asked of the one that a client sends back.
 */
export const COOKIE_VERIFIER = new Uint8Array(8);

/** An entry that goes on a page. */
export interface PlacedEntry {
  readonly name: Uint8Array;
  readonly cookie: bigint;
  readonly fileId: bigint;
  /** Undefined if the lookup failed. */
  readonly node: TreeNode | undefined;
}

/** What of a directory is asked for. */
export interface PageRequest<Item> {
  readonly directory: Directory;
  /** Where to go on. */
  readonly cookie: bigint;
  /** Makes what the reply has for an entry. */
  item(entry: PlacedEntry): Item | Promise<Item>;
  /** Counts what an item takes; false if it has no room. */
  add(item: Item): boolean;
}

/** A part of a listing. */
export interface Page<Item> {
  readonly entries: readonly Item[];
  /** True if nothing follows. */
  readonly eof: boolean;
}

/**
 * As many entries as have room.
 *
 * @throws Nfs3Error TOOSMALL if there are entries, but not one has room
 */
export async function readPage<Item>(request: PageRequest<Item>, context: Nfs3Context): Promise<Page<Item>> {
  const { directory, cookie } = request;
  const listing = await cachedListing(context.tree, directory);
  const items: Item[] = [];
  let position = entriesAfter(listing, cookie);
  let batch: readonly ListingEntry[] = DOTS.filter((dot) => dot.cookie > cookie);
  while (batch.length > 0 || position < listing.length) {
    const placed = await Promise.all(
      batch.map(async (entry) => {
        const found = await place(directory, entry, context);
        return found && request.item(found);
      }),
    );
    for (const item of placed) {
      if (item === undefined) continue;
      if (!request.add(item)) {
        if (items.length === 0) throw new Nfs3Error(NFS3.TOOSMALL);
        return { entries: items, eof: false };
      }
      items.push(item);
    }
    batch = listing.slice(position, position + BATCH);
    position += batch.length;
  }
  return { entries: items, eof: true };
}

/**
 * Looks an entry up. One that went away since it was listed is left out. One that cannot be looked up now stays in the listing, for it is
 * there; the number of its name stands in for its file id until a lookup succeeds.
 */
async function place(
  directory: Directory,
  { name, cookie }: ListingEntry,
  context: Nfs3Context,
): Promise<PlacedEntry | undefined> {
  const bytes = Buffer.from(name);
  try {
    const node = await entryNamed(directory, name);
    return node && { name: bytes, cookie, fileId: node.fileId, node };
  } catch (error) {
    reportFailure(
      context.exports,
      context.call,
      `lookup of ${name} in a listing${describeNode(directory)}`,
      error,
    );
    return { name: bytes, cookie, fileId: cookie, node: undefined };
  }
}

/** Counts the bytes of the items of a list as they will be encoded. */
export class ListMeter<Item> {
  readonly #writer = new XdrWriter();
  readonly #item: Codec<Item | undefined>;
  readonly #roomBytes: number;

  constructor(item: Codec<Item>, roomBytes: number) {
    this.#item = optional(item);
    this.#roomBytes = roomBytes;
  }

  /** Adds an item; false if that is too much. */
  add(item: Item): boolean {
    this.#item.encode(this.#writer, item);
    return this.#writer.byteLength <= this.#roomBytes;
  }
}

/** What a reply leaves of `maxBytes` for the entries of its list; throws Nfs3Error TOOSMALL if that is less than nothing. */
export function roomBeside<Ok>(maxBytes: number, codec: Codec<Ok>, withoutEntries: Ok): number {
  const room = maxBytes - encodeWhole(codec, withoutEntries).byteLength;
  if (room < 0) throw new Nfs3Error(NFS3.TOOSMALL);
  return room;
}
