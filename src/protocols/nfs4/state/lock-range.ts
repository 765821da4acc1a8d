import { NFS4, Nfs4Error } from '../status.js';

/** Bytes of a file from `first` to `last`, both included. */
export interface LockRange {
  readonly first: bigint;
  readonly last: bigint;
}

const END = 2n ** 64n - 1n;

/**
 * The bytes that a lock operation names: a length of all ones reaches to the end of the file (RFC 8881,
 * section 18.10.3).
 *
 * @throws Nfs4Error `INVAL` for no bytes and for bytes beyond 2^64 - 1
 */
export function lockRange(offset: bigint, length: bigint): LockRange {
  if (length === END) return { first: offset, last: END };
  if (length === 0n || offset + length - 1n > END) throw new Nfs4Error(NFS4.INVAL);
  return { first: offset, last: offset + length - 1n };
}

/** The smallest range around both. */
export function around(range: LockRange | undefined, other: LockRange): LockRange {
  if (range === undefined) return other;
  return {
    first: range.first < other.first ? range.first : other.first,
    last: range.last > other.last ? range.last : other.last,
  };
}

/** What is left of a range when `other` is taken away at either end; a hole in the middle is not noted. */
export function without(range: LockRange | undefined, other: LockRange): LockRange | undefined {
  if (range === undefined) return undefined;
  const first = other.first <= range.first && other.last >= range.first ? other.last + 1n : range.first;
  const last = other.last >= range.last && other.first <= range.last ? other.first - 1n : range.last;
  return first > last ? undefined : { first, last };
}
