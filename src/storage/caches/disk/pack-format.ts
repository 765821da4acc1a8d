import { DIGEST_BYTES } from '../../../core/digest.js';
import { crc32 } from './crc32.js';

/**
 * The bytes of a pack file, described in docs/formats.md. All numbers are little-endian. A segment holds the bytes of chunks from
 * its start on, one after the other; at its end stands its head, and before that the entries of its chunks, the first one last.
 */
const MAGIC = Buffer.from('calyx-cache-1\n\0\0', 'latin1');
const SEGMENT_MAGIC = 0x47455343;

/** A queue of segments: what came once, and what was read again. */
export type Queue = 'small' | 'main';
const QUEUES: readonly Queue[] = ['small', 'main'];

export const SEGMENT_HEAD_BYTES = 32;
/** SHA-256, position in the segment, length, CRC-32. */
export const ENTRY_BYTES = DIGEST_BYTES + 12;

/** The first bytes of a pack file. */
export function encodePackHead(segmentBytes: number): Buffer {
  const head = Buffer.alloc(MAGIC.byteLength + 8);
  MAGIC.copy(head);
  head.writeUInt32LE(segmentBytes, MAGIC.byteLength);
  head.writeUInt32LE(crc32(head, 0, MAGIC.byteLength + 4), MAGIC.byteLength + 4);
  return head;
}

/** The size of the segments of the file with this head, or undefined if it is none. */
export function decodePackHead(head: Buffer): number | undefined {
  const at = MAGIC.byteLength;
  if (head.byteLength < at + 8 || !head.subarray(0, at).equals(MAGIC)) return undefined;
  return head.readUInt32LE(at + 4) === crc32(head, 0, at + 4) ? head.readUInt32LE(at) : undefined;
}

/** What a segment is used for now. A generation is used once, so entries of an earlier one are not mistaken for its own. */
export interface SegmentHead {
  readonly queue: Queue;
  readonly generation: number;
}

export function encodeSegmentHead({ queue, generation }: SegmentHead): Buffer {
  const head = Buffer.alloc(SEGMENT_HEAD_BYTES);
  head.writeUInt32LE(SEGMENT_MAGIC, 0);
  head.writeUInt32LE(QUEUES.indexOf(queue), 4);
  head.writeUIntLE(generation, 8, 6);
  head.writeUInt32LE(crc32(head, 0, SEGMENT_HEAD_BYTES - 4), SEGMENT_HEAD_BYTES - 4);
  return head;
}

/** The head in these 32 bytes, or undefined if they are none. */
export function decodeSegmentHead(head: Buffer): SegmentHead | undefined {
  if (head.readUInt32LE(0) !== SEGMENT_MAGIC) return undefined;
  if (head.readUInt32LE(SEGMENT_HEAD_BYTES - 4) !== crc32(head, 0, SEGMENT_HEAD_BYTES - 4)) return undefined;
  const queue = QUEUES[head.readUInt32LE(4)];
  return queue === undefined ? undefined : { queue, generation: head.readUIntLE(8, 6) };
}

/** What the CRC-32 of each entry of a generation begins with. */
export function generationSeed(generation: number): number {
  const bytes = Buffer.alloc(6);
  bytes.writeUIntLE(generation, 0, 6);
  return crc32(bytes);
}

export function encodeEntry(
  target: Buffer,
  at: number,
  seed: number,
  digest: Uint8Array,
  offset: number,
  length: number,
): void {
  target.set(digest, at);
  target.writeUInt32LE(offset, at + DIGEST_BYTES);
  target.writeUInt32LE(length, at + DIGEST_BYTES + 4);
  target.writeUInt32LE(crc32(target, at, at + ENTRY_BYTES - 4, seed), at + ENTRY_BYTES - 4);
}

/** Where the chunk of the entry at `at` lies in its segment, or undefined if that is no entry of this generation. */
export function decodeEntry(
  bytes: Buffer,
  at: number,
  seed: number,
): { readonly offset: number; readonly length: number } | undefined {
  if (bytes.readUInt32LE(at + ENTRY_BYTES - 4) !== crc32(bytes, at, at + ENTRY_BYTES - 4, seed))
    return undefined;
  return { offset: bytes.readUInt32LE(at + DIGEST_BYTES), length: bytes.readUInt32LE(at + DIGEST_BYTES + 4) };
}
