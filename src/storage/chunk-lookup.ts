import { checkRange } from '../core/byte-range.js';
import type { Digest } from '../core/digest.js';
import { CalyxError } from '../core/errors.js';

/** A chunk of a blob: where it lies and its SHA-256. */
export interface ChunkDigest {
  readonly offset: number;
  readonly length: number;
  readonly digest: Digest;
}

/**
 * The chunks that hold any byte of a range of a blob: in order, without gaps; undefined if the blob is not known.
 */
export type ChunkLookup = (
  blob: Digest,
  offset: number,
  length: number,
) => readonly ChunkDigest[] | undefined;

/**
 * The chunks of a range of at least one byte; together they cover it.
 *
 * @throws CalyxError `usage` if the range reaches past the chunks that are known, `internal` if none are
 */
export function chunksOf(
  lookup: ChunkLookup,
  blob: Digest,
  offset: number,
  length: number,
): readonly ChunkDigest[] {
  checkRange(offset, length);
  const chunks = lookup(blob, offset, length);
  const first = chunks?.[0];
  const last = chunks?.at(-1);
  if (chunks === undefined || first === undefined || last === undefined) {
    throw new CalyxError(
      'internal',
      `the chunks of the blob ${blob} are not known, so it cannot be verified`,
    );
  }
  const end = last.offset + last.length;
  if (offset < first.offset || offset + length > end) {
    throw new CalyxError(
      'usage',
      `${length} bytes at ${offset} reach past the chunks ${first.offset} to ${end} of the blob ${blob}`,
    );
  }
  return chunks;
}

/** A chunk that does not have the content that the manifest says. */
export class WrongChunkError extends CalyxError {
  readonly source: string;
  readonly blob: Digest;
  readonly chunk: ChunkDigest;

  constructor(source: string, blob: Digest, chunk: ChunkDigest) {
    super(
      'corrupt',
      `${source} sent wrong bytes: ${chunk.length} at ${chunk.offset} of the blob ${blob} do not match their SHA-256`,
      {
        hint: "run 'calyx verify' on the store",
      },
    );
    this.source = source;
    this.blob = blob;
    this.chunk = chunk;
  }
}
