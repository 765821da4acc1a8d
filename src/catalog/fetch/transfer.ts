import type { Digest } from '../../core/digest.js';

/** Where a chunk goes: a file under the slice's directory, and a position in it. */
export interface Target {
  readonly file: string;
  readonly position: number;
}

/** A chunk that is to be fetched, and every place that needs its content. */
export interface WantedChunk {
  readonly offset: number;
  readonly length: number;
  readonly digest: Digest;
  readonly targets: readonly Target[];
}

/** Adjacent chunks of one blob that are read by one request. Plain data, so that it can be sent to a worker thread. */
export interface Transfer {
  readonly blob: Digest;
  readonly chunks: readonly WantedChunk[];
}

/** Adjacent chunks are joined up to this many bytes: large enough for full speed on real links, small enough for memory. */
export const TRANSFER_BYTES = 8 * 1024 * 1024;

/** Bytes of a transfer. */
export function transferBytes(transfer: Transfer): number {
  return transfer.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
}

/** Bytes and chunks of several transfers. */
export function transferTotals(transfers: readonly Transfer[]): { bytes: number; chunks: number } {
  return {
    bytes: transfers.reduce((sum, transfer) => sum + transferBytes(transfer), 0),
    chunks: transfers.reduce((sum, { chunks }) => sum + chunks.length, 0),
  };
}

/** A chunk to be joined, with the blob that has it. */
export interface WantedBlobChunk extends WantedChunk {
  readonly blob: Digest;
}

/** Joins chunks that lie next to each other in their blob. */
export function joinChunks(chunks: readonly WantedBlobChunk[]): Transfer[] {
  const sorted = [...chunks].sort((a, b) =>
    a.blob === b.blob ? a.offset - b.offset : a.blob < b.blob ? -1 : 1,
  );
  const transfers: { blob: Digest; chunks: WantedChunk[] }[] = [];
  let end = -1;
  let bytes = 0;
  for (const { blob, ...chunk } of sorted) {
    const current = transfers.at(-1);
    if (current?.blob === blob && chunk.offset === end && bytes + chunk.length <= TRANSFER_BYTES) {
      current.chunks.push(chunk);
      bytes += chunk.length;
    } else {
      transfers.push({ blob, chunks: [chunk] });
      bytes = chunk.length;
    }
    end = chunk.offset + chunk.length;
  }
  return transfers;
}
