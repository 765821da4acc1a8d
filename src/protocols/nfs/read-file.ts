import { segmentLength, sliceSegments, type TreeFile } from '../../catalog/file-tree.js';
import { staticLease, type ByteSource, type Lease } from '../../storage/byte-source.js';

/** A reply of more pieces would cost more reads than it is worth; a short answer is allowed. */
const MAX_SEGMENTS = 16;
/**
 * Up to here bytes are copied: the smallest buffer of the pool has 64 KiB, so replies that wait for slow clients would hold many times
 * of what they count.
 */
const MAX_COPIED_BYTES = 32 * 1024;

/**
 * Reads `[offset, offset + length)` of a file, or less: where the file ends, or
 * consists of very many small segments. At least one byte, unless the file ends at `offset`. The bytes of one blob are on loan from the
 * source's pool; what is small or made of several pieces is copied.
 *
 * @throws what the source throws; nothing is on loan then
 */
export function readFileRange(
  file: TreeFile,
  offset: number,
  length: number,
  source: ByteSource,
  signal: AbortSignal,
): Lease | Promise<Lease> {
  const segments = sliceSegments(file, offset, length).slice(0, MAX_SEGMENTS);
  const [only] = segments;
  if (only === undefined) return staticLease();
  if (segments.length === 1) {
    if ('literal' in only) return staticLease(only.literal);
    if (only.length > MAX_COPIED_BYTES) return source.read(only.blob, only.offset, only.length, { signal });
  }
  return copyAll(segments, source, signal);
}

/**
 * Copies pieces together. Each loan is given back before the next is asked for: who waits for a buffer while holding others
 * would, with enough of his kind, wait for ever.
 */
async function copyAll(
  segments: ReturnType<typeof sliceSegments>,
  source: ByteSource,
  signal: AbortSignal,
): Promise<Lease> {
  const bytes = Buffer.allocUnsafe(segments.reduce((sum, segment) => sum + segmentLength(segment), 0));
  let end = 0;
  const add = (parts: readonly Uint8Array[]): void => {
    for (const part of parts) {
      bytes.set(part, end);
      end += part.byteLength;
    }
  };
  for (const segment of segments) {
    if ('literal' in segment) add([segment.literal]);
    else {
      const lease = await source.read(segment.blob, segment.offset, segment.length, { signal });
      try {
        add(lease.parts);
      } finally {
        lease.release();
      }
    }
  }
  // A source that gave fewer bytes than it owes must not show as whatever the memory had before.
  return staticLease(bytes.subarray(0, end));
}
