import type { Directory } from '../../../catalog/file-tree.js';
import { MAX_NAME_BYTES } from '../../nfs/limits.js';
import { cachedListing } from '../../nfs/listing-cache.js';
import { entriesAfter, isListingCookie, type ListingEntry } from '../../nfs/listing.js';
import { bool, fixedOpaque, struct, text, uint32, uint64, type Infer } from '../../xdr/codec.js';
import type { XdrWriter } from '../../xdr/xdr-writer.js';
import { bitmap } from '../attributes/bitmap.js';
import {
  requestOf,
  subjectOf,
  writeAttributes,
  writeFailedAttributes,
  type AttributeRequest,
} from '../attributes/fattr.js';
import { operationError } from '../errors.js';
import type { Compound, Operation } from '../operation.js';
import { NFS4, Nfs4Error } from '../status.js';
import { currentDirectory } from './current.js';

/**
 * Always zero: cookies are made of names, so they are good for any state of the directory, on any replica, and there is nothing to
 * verify (RFC 8881, section 18.23.3).
 */
const VERIFIER = new Uint8Array(8);
/** What follows the entries: that none follows, and `eof`. */
const END_BYTES = 8;
/** More than any entry takes, attributes and handle included; only for reserving. */
const ENTRY_BYTES = 1024;

const readdirArgs = struct({
  cookie: uint64,
  verifier: fixedOpaque(VERIFIER.byteLength),
  /** Bytes of cookies and names: a hint, 0 if there is none. */
  headBytes: uint32,
  /** Bytes of the whole result after the status. */
  resultBytes: uint32,
  attributes: bitmap,
});

const entryHead = struct({ follows: bool, cookie: uint64, name: text(MAX_NAME_BYTES) });
/** `follows`, which is no part of the entry. */
const FOLLOWS_BYTES = 4;
const listEnd = struct({ follows: bool, eof: bool });

/** READDIR (RFC 8881, section 18.23). Shows neither `.` nor `..`. */
export const readdir: Operation = {
  name: 'READDIR',
  call: async (reader, writer, compound) => {
    const args = readdirArgs.decode(reader);
    const directory = currentDirectory(compound);
    const request = requestOf(args.attributes, compound.minorVersion);
    checkCookie(args);
    const room = compound.room();
    const limit = Math.min(args.resultBytes, room) - END_BYTES;
    const tooSmall = new Nfs4Error(args.resultBytes <= room ? NFS4.TOOSMALL : NFS4.REP_TOO_BIG);
    if (limit < VERIFIER.byteLength) throw tooSmall;

    const listing = await cachedListing(compound.tree, directory);
    const entries = listing.slice(entriesAfter(listing, args.cookie));
    await compound.call.reserve(Math.min(limit, entries.length * ENTRY_BYTES));
    const page = { directory, request, end: writer.byteLength + limit, headBytes: args.headBytes };
    writer.fixedOpaque(VERIFIER);
    const { written, eof } = await writePage(writer, entries, page, compound);
    if (written === 0 && !eof) throw tooSmall;
    listEnd.encode(writer, { follows: false, eof });
    return NFS4.OK;
  },
};

interface Page {
  readonly directory: Directory;
  readonly request: AttributeRequest;
  /** Where the last entry must end, in bytes of the writer. */
  readonly end: number;
  readonly headBytes: number;
}

/** Writes entries as long as they fit. */
async function writePage(
  writer: XdrWriter,
  entries: readonly ListingEntry[],
  page: Page,
  compound: Compound,
): Promise<{ written: number; eof: boolean }> {
  let written = 0;
  let headBytes = 0;
  for (const entry of entries) {
    compound.call.signal.throwIfAborted();
    const mark = writer.byteLength;
    entryHead.encode(writer, { follows: true, ...entry });
    const head = writer.byteLength - mark - FOLLOWS_BYTES;
    // A hint must not keep the first entry out, or the client would never get any further.
    const hintReached = written > 0 && page.headBytes > 0 && headBytes + head > page.headBytes;
    const exists = !hintReached && (await writeEntryAttributes(writer, entry, page, compound));
    if (hintReached || writer.byteLength > page.end) {
      writer.rewind(mark);
      return { written, eof: false };
    }
    if (exists) {
      written += 1;
      headBytes += head;
    } else writer.rewind(mark);
  }
  return { written, eof: true };
}

/** Returns false if the entry went away since it was listed. */
async function writeEntryAttributes(
  writer: XdrWriter,
  { name }: ListingEntry,
  { directory, request }: Page,
  compound: Compound,
): Promise<boolean> {
  try {
    const node = await directory.lookup(name);
    if (node === undefined) return false;
    writeAttributes(writer, request, await subjectOf(node, request, compound));
  } catch (error) {
    if (!request.toleratesErrors) throw error;
    writeFailedAttributes(writer, operationError(error, `lookup of ${name} in a listing`, compound).status);
  }
  return true;
}

function checkCookie({ cookie, verifier }: Infer<typeof readdirArgs>): void {
  if (cookie === 0n) return;
  // 1 and 2 are the client's own for `.` and `..`, and no listing of ours gives them.
  if (!isListingCookie(cookie)) throw new Nfs4Error(NFS4.BAD_COOKIE);
  if (verifier.some((byte) => byte !== 0)) throw new Nfs4Error(NFS4.NOT_SAME);
}
