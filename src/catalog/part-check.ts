import { ChunkLayout } from '../core/chunking.js';
import { DIGEST_BYTES, sha256, type Digest } from '../core/digest.js';
import { CalyxError } from '../core/errors.js';
import { layOutPart, partFile, type PartId } from '../weights/parts.js';
import { placedChunks } from './fetch/slice-plan.js';
import type { CheckJob } from './ingest/hash-file.js';
import type { Manifest } from './manifest.js';
import { partContent, partTensors } from './slice.js';

/**
 * What the file of a part has to be, chunk by chunk: its header is computed from the manifest, the digests of its tensors' chunks
 * stand in it.
 *
 * @param path where the file is
 * @throws CalyxError `corrupt` if the manifest cuts a file differently from its tensors
 */
export function partCheck(manifest: Manifest, part: PartId, path: string): CheckJob {
  const { header, tensors, size } = layOutPart(partTensors(manifest, part));
  let position = header.byteLength;
  const extents = tensors.map(({ length }) => ({ offset: (position += length) - length, length }));
  const placed = new Map<number, Digest>();
  for (const chunk of placedChunks(partContent(manifest, part), manifest))
    placed.set(chunk.position, chunk.digest);
  const layout = ChunkLayout.of(size, extents);
  const digests = Array.from({ length: layout.count }, (_, index) => {
    const { offset, length } = layout.extent(index);
    const digest =
      offset < header.byteLength ? sha256(header.subarray(offset, offset + length)) : placed.get(offset);
    if (digest?.length === 2 * DIGEST_BYTES) return digest;
    throw new CalyxError('corrupt', `the manifest has no digest for byte ${offset} of ${partFile(part)}`, {
      hint: 'publish the model again',
    });
  });
  return { path, size, tensors: extents, chunkDigests: Buffer.from(digests.join(''), 'hex') };
}
