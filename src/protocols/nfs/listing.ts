import { createHash } from 'node:crypto';
import type { Directory } from '../../catalog/file-tree.js';

/** A name in a directory and the place in the listing after it. */
export interface ListingEntry {
  readonly name: string;
  /** Where a listing goes on after this entry. */
  readonly cookie: bigint;
}

/** The lowest cookies have meanings of their own (RFC 8881, section 18.23.3: 1 and 2 stand for `.` and `..`). */
const FIRST_COOKIE = 16n;
const COOKIE_MASK = (1n << 63n) - 1n;

/**
 * The entries of a directory in the order of their cookies. A cookie is made of the name alone, so a listing goes on at the same
 * place on another replica, after a restart, and when other entries came or went.
 */
export async function listingOf(directory: Directory): Promise<readonly ListingEntry[]> {
  const names = await directory.list();
  const entries = names.map((name) => ({ name, cookie: cookieOf(name) }));
  entries.sort((a, b) => (a.cookie < b.cookie ? -1 : a.cookie > b.cookie ? 1 : a.name < b.name ? -1 : 1));
  return entries;
}

/** Whether `cookie` may stem from a listing. */
export function isListingCookie(cookie: bigint): boolean {
  return cookie >= FIRST_COOKIE && cookie <= COOKIE_MASK;
}

/** The index of the first entry after `cookie`. */
export function entriesAfter(entries: readonly ListingEntry[], cookie: bigint): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((entries[middle]?.cookie ?? 0n) <= cookie) low = middle + 1;
    else high = middle;
  }
  return low;
}

function cookieOf(name: string): bigint {
  const digest = createHash('sha256').update(name).digest();
  const cookie = digest.readBigUInt64BE(0) & COOKIE_MASK;
  return cookie < FIRST_COOKIE ? cookie + FIRST_COOKIE : cookie;
}
