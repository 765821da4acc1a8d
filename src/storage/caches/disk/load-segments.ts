import { DIGEST_BYTES } from '../../../core/digest.js';
import { mapLimited } from '../../../core/map-limited.js';
import type { ChunkTable } from './chunk-table.js';
import type { PackFile } from './pack-file.js';
import { ENTRY_BYTES, SEGMENT_HEAD_BYTES, decodeEntry, decodeSegmentHead } from './pack-format.js';
import { Segment } from './segment.js';

const PARALLEL = 8;
/** The head and 371 entries; more are read where there are more. */
const FIRST_READ_BYTES = SEGMENT_HEAD_BYTES + 371 * ENTRY_BYTES;
const NEXT_READ_ENTRIES = 8192;

/** Entries of one segment: a digest each, and where its chunk lies. */
interface Found {
  readonly segment: Segment;
  readonly pieces: { readonly bytes: Buffer; readonly first: number; readonly count: number }[];
}

/**
 * Fills the table from the segments' entries. None of them is trusted: each chunk is compared with its digest before its first
 * byte is served. Of a segment, what follows the first entry that is damaged or of an earlier generation counts as free.
 */
export async function loadSegments(file: PackFile, table: ChunkTable): Promise<Segment[]> {
  const { segments: count, segmentBytes } = file.geometry;
  const segments = Array.from({ length: count }, (_, index) => new Segment(index, segmentBytes));
  const found = await mapLimited(segments, PARALLEL, (segment) => readEntries(file, segment));
  // Of a chunk that was carried over, the newer place counts.
  found.sort((a, b) => a.segment.generation - b.segment.generation);
  for (const { segment, pieces } of found) {
    for (const { bytes, first, count: entries } of pieces) {
      for (let index = first; index < first + entries; index += 1) {
        const at = bytes.byteLength - (index - first + 1) * ENTRY_BYTES;
        const offset = bytes.readUInt32LE(at + DIGEST_BYTES);
        const length = bytes.readUInt32LE(at + DIGEST_BYTES + 4);
        table.add(segment, bytes.subarray(at, at + DIGEST_BYTES), segment.index, offset, length, 0);
      }
    }
  }
  return segments;
}

async function readEntries(file: PackFile, segment: Segment): Promise<Found> {
  const found: Found = { segment, pieces: [] };
  const { segmentBytes } = file.geometry;
  const tail = Buffer.alloc(Math.min(FIRST_READ_BYTES, segmentBytes));
  await file.read(segment.index, segmentBytes - tail.byteLength, tail);
  const headAt = tail.byteLength - SEGMENT_HEAD_BYTES;
  const head = decodeSegmentHead(tail.subarray(headAt));
  if (head === undefined) return found;
  segment.begin(head);
  let bytes = tail.subarray(0, headAt);
  for (;;) {
    const first = segment.entries;
    const readable = Math.floor(bytes.byteLength / ENTRY_BYTES);
    countValid(segment, bytes, readable);
    const count = segment.entries - first;
    if (count > 0) found.pieces.push({ bytes, first, count });
    if (count < readable || readable === 0) return found;
    const more = Math.min(
      NEXT_READ_ENTRIES,
      Math.floor(segment.entryOffset(segment.entries - 1) / ENTRY_BYTES),
    );
    bytes = Buffer.alloc(more * ENTRY_BYTES);
    await file.read(segment.index, segment.entryOffset(segment.entries + more - 1), bytes);
  }
}

function countValid(segment: Segment, bytes: Buffer, readable: number): void {
  for (let index = 0; index < readable; index += 1) {
    const entry = decodeEntry(bytes, bytes.byteLength - (index + 1) * ENTRY_BYTES, segment.seed);
    if (entry === undefined || entry.length === 0 || entry.offset !== segment.end) return;
    if (!segment.fits(entry.length)) return;
    segment.end += entry.length;
    segment.entries += 1;
  }
}
