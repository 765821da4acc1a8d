import { segmentLength, sliceSegments, type TreeFile } from '../../catalog/file-tree.js';
import { staticLease, type ByteSource, type Lease } from '../../storage/byte-source.js';

/** A buffer is at least 64 KiB, so many small segments would take many times their length; a short answer is allowed. */
const MAX_SEGMENTS = 16;

/**
 * Reads `[offset, offset + length)` of a file, or less: where the file ends, or
 * consists of very many small segments. At least one byte, unless the file ends at `offset`. The bytes of blobs are on loan from the source's
 * pool.
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
  if (segments.length === 1)
    return 'literal' in only
      ? staticLease(only.literal)
      : source.read(only.blob, only.offset, only.length, { signal });
  return readAll(segments, source, signal);
}

async function readAll(
  segments: ReturnType<typeof sliceSegments>,
  source: ByteSource,
  signal: AbortSignal,
): Promise<Lease> {
  const leases: Lease[] = [];
  const release = (): void => {
    for (const lease of leases.splice(0)) lease.release();
  };
  try {
    // One after the other: so that no more is held than the caller has reserved.
    for (const segment of segments) {
      if (segmentLength(segment) === 0) continue;
      leases.push(
        'literal' in segment
          ? staticLease(segment.literal)
          : await source.read(segment.blob, segment.offset, segment.length, { signal }),
      );
    }
    return { parts: leases.flatMap((lease) => lease.parts), release };
  } catch (error) {
    release();
    throw error;
  }
}
