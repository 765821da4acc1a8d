import type { Digest } from '../../../core/digest.js';
import type { ChunkDigest } from '../../chunk-lookup.js';
import type { Batch } from './batch.js';
import { NONE, type ChunkTable } from './chunk-table.js';
import type { Fetcher } from './fetcher.js';

/** A chunk and the place in the pack file where it should be. */
export interface StoredChunk {
  readonly chunk: ChunkDigest;
  readonly slot: number;
  readonly segment: number;
  readonly offset: number;
}

/** One step of a read; it gives `length` bytes. */
export type Piece =
  | { readonly kind: 'memory'; readonly bytes: Uint8Array; length: number }
  /** Chunks that are on the disk; of the first one, `skip` bytes are not wanted. */
  | {
      readonly kind: 'disk';
      readonly stored: StoredChunk[];
      readonly verified: boolean;
      readonly skip: number;
      length: number;
    }
  /** To be fetched by one read; `from` is a position in the blob. */
  | { readonly kind: 'fetch'; readonly chunks: ChunkDigest[]; readonly from: number; length: number }
  /** Being fetched already, or by an earlier piece of the same read. */
  | {
      readonly kind: 'flight';
      readonly digest: Digest;
      readonly skip: number;
      length: number;
      /** If it is known already: the batch, and where in its blob this piece ends. */
      readonly batch?: Batch;
      end?: number;
    };

/** Where chunks may be. */
export interface Places {
  readonly memory: (digest: Digest) => Uint8Array | undefined;
  readonly fetcher: Fetcher;
  /** Undefined if the disk is not to be used. */
  readonly table: ChunkTable | undefined;
  /** Upstream is asked for at most so many bytes at once, or one chunk. */
  readonly fetchBytes: number;
}

/** How the range `[offset, offset + length)` is read that `chunks` cover: as few pieces as possible. Begins nothing. */
export function planRead(
  chunks: readonly ChunkDigest[],
  offset: number,
  length: number,
  places: Places,
): Piece[] {
  const pieces: Piece[] = [];
  let planned: Set<Digest> | undefined;
  for (const chunk of chunks) {
    const skip = Math.max(offset - chunk.offset, 0);
    const wanted = Math.min(offset + length - chunk.offset, chunk.length) - skip;
    const last = pieces.at(-1);
    const bytes = places.memory(chunk.digest);
    if (bytes !== undefined) {
      pieces.push({ kind: 'memory', bytes: bytes.subarray(skip, skip + wanted), length: wanted });
      continue;
    }
    if (planned?.has(chunk.digest) === true) {
      pieces.push({ kind: 'flight', digest: chunk.digest, skip, length: wanted });
      continue;
    }
    const flight = places.fetcher.find(chunk.digest);
    if (flight !== undefined) {
      const { batch } = flight;
      const end = flight.chunk.offset + chunk.length;
      if (last?.kind === 'flight' && last.batch === batch && last.end === flight.chunk.offset) {
        last.length += wanted;
        last.end = end;
      } else pieces.push({ kind: 'flight', digest: chunk.digest, skip, length: wanted, batch, end });
      continue;
    }
    const stored = places.table === undefined ? undefined : locate(places.table, chunk);
    if (stored !== undefined && places.table !== undefined) {
      const verified = places.table.isVerified(stored.slot);
      if (last?.kind === 'disk' && last.verified === verified) {
        last.stored.push(stored);
        last.length += wanted;
      } else pieces.push({ kind: 'disk', stored: [stored], verified, skip, length: wanted });
      continue;
    }
    (planned ??= new Set()).add(chunk.digest);
    if (last?.kind === 'fetch' && bytesOf(last.chunks) + chunk.length <= places.fetchBytes) {
      last.chunks.push(chunk);
      last.length += wanted;
    } else pieces.push({ kind: 'fetch', chunks: [chunk], from: chunk.offset + skip, length: wanted });
  }
  return pieces;
}

/** Bytes that lie one after the other in a segment. */
export interface Run {
  readonly segment: number;
  readonly offset: number;
  length: number;
}

/** Where chunks lie that are read one after the other, but for the first `skip` bytes; `length` bytes in all. */
export function runsOf(stored: readonly StoredChunk[], skip: number, length: number): Run[] {
  const runs: Run[] = [];
  let left = length;
  for (const [index, { chunk, segment, offset }] of stored.entries()) {
    const from = index === 0 ? skip : 0;
    const bytes = Math.min(chunk.length - from, left);
    left -= bytes;
    const last = runs.at(-1);
    if (last?.segment === segment && last.offset + last.length === offset + from) last.length += bytes;
    else runs.push({ segment, offset: offset + from, length: bytes });
  }
  return runs;
}

/** Bytes of the buffer that a piece takes. */
export function pieceBytes(piece: Piece): number {
  if (piece.kind === 'fetch') return bytesOf(piece.chunks);
  if (piece.kind === 'disk' && !piece.verified) return bytesOf(piece.stored.map(({ chunk }) => chunk));
  return piece.length;
}

function locate(table: ChunkTable, chunk: ChunkDigest): StoredChunk | undefined {
  const slot = table.find(chunk.digest);
  if (slot === NONE || table.length(slot) !== chunk.length) return undefined;
  return { chunk, slot, segment: table.segment(slot), offset: table.offset(slot) };
}

function bytesOf(chunks: readonly ChunkDigest[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0);
}
