import { ChunkLayout } from '../core/chunking.js';
import { DIGEST_BYTES, sha256, type Digest } from '../core/digest.js';
import { CalyxError } from '../core/errors.js';
import { partFile, type PartId } from '../weights/parts.js';
import { placedChunks } from './fetch/slice-plan.js';
import { sliceSegments, type TreeFile } from './file-tree.js';
import type { CheckJob } from './ingest/hash-file.js';
import type { Manifest } from './manifest.js';
import { partContent } from './slice.js';

/**
 * What the file of a part has to be, chunk by chunk: its header and paddings are computed from the manifest, the digests of its
 * tensors' chunks stand in it.
 *
 * @param path where the file is
 * @throws CalyxError `corrupt` if the manifest cuts a file differently from its tensors
 */
export function partCheck(manifest: Manifest, part: PartId, path: string): CheckJob {
  const content = partContent(manifest, part);
  const { size } = content;
  const chunks = placedChunks(content, manifest);
  const extents = chunks.map(({ position, length }) => ({ offset: position, length }));
  const placed = new Map<number, Digest>(chunks.map(({ position, digest }) => [position, digest]));
  const layout = ChunkLayout.of(size, extents);
  const digests = Array.from({ length: layout.count }, (_, index) => {
    const { offset, length } = layout.extent(index);
    const digest = placed.get(offset) ?? literalDigest(content, offset, length);
    if (digest?.length === 2 * DIGEST_BYTES) return digest;
    const file = partFile(part, manifest.format);
    throw new CalyxError('corrupt', `the manifest has no digest for byte ${offset} of ${file}`, {
      hint: 'publish the model again',
    });
  });
  return { path, size, tensors: extents, chunkDigests: Buffer.from(digests.join(''), 'hex') };
}

/** The digest of bytes that stand in no blob; undefined if one has some of them. */
function literalDigest(content: TreeFile, offset: number, length: number): Digest | undefined {
  const literals = sliceSegments(content, offset, length).map((segment) =>
    'literal' in segment ? segment.literal : undefined,
  );
  return literals.every((literal) => literal !== undefined) ? sha256(Buffer.concat(literals)) : undefined;
}
