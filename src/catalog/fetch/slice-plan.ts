import type { Digest } from '../../core/digest.js';
import { CalyxError } from '../../core/errors.js';
import { segmentLength, type TreeFile } from '../file-tree.js';
import type { Manifest } from '../manifest.js';
import { joinChunks, type Target, type Transfer, type WantedBlobChunk } from './transfer.js';

/** A chunk and its place in a file of the slice. */
export interface PlacedChunk {
  readonly blob: Digest;
  readonly offset: number;
  readonly length: number;
  readonly digest: Digest;
  /** Where it begins in the file of the slice. */
  readonly position: number;
}

/** The chunks that a file of a slice is made of, besides its literal bytes, in order. Chunks are whole: parts begin and end with tensors. */
export function placedChunks(file: TreeFile, manifest: Manifest): PlacedChunk[] {
  const placed: PlacedChunk[] = [];
  let position = 0;
  for (const segment of file.segments) {
    if ('blob' in segment) {
      const source = manifest.fileOfBlob(segment.blob);
      if (source === undefined) throw new Error(`a slice refers to the unknown blob ${segment.blob}`);
      for (const chunk of manifest.chunks(source, segment.offset, segment.length)) {
        const end = segment.offset + segment.length;
        if (chunk.offset < segment.offset || chunk.offset + chunk.length > end) {
          throw new CalyxError('corrupt', `the manifest cuts ${source.path} differently from its tensors`, {
            hint: 'publish the model again',
          });
        }
        placed.push({ ...chunk, position: position + chunk.offset - segment.offset });
      }
    }
    position += segmentLength(segment);
  }
  return placed;
}

/** A file of the slice, and the chunks that it is made of. */
export interface FilePlan {
  readonly name: string;
  readonly file: TreeFile;
  readonly chunks: readonly PlacedChunk[];
}

/** A chunk of the slice that another file of this disk has already. */
export interface LocalCopy {
  readonly length: number;
  readonly digest: Digest;
  readonly from: Target;
  readonly to: Target;
}

/** What has to happen to bring chunks to their places. */
export interface ChunkPlan {
  readonly copies: readonly LocalCopy[];
  readonly transfers: readonly Transfer[];
}

/** A chunk that is missing at a place, or present there. */
export interface ChunkAt extends PlacedChunk {
  readonly file: string;
}

/** The chunks of a file, with the file's name. */
export function chunksAt({ name, chunks }: FilePlan): ChunkAt[] {
  return chunks.map((chunk) => ({ ...chunk, file: name }));
}

/**
 * Plans how missing chunks come in: content that is on the disk is copied, content that several places need is fetched once, and
 * neighbours are fetched together.
 */
export function planChunks(missing: readonly ChunkAt[], present: Iterable<ChunkAt>): ChunkPlan {
  const wanted = new Map<Digest, { chunk: ChunkAt; targets: Target[] }>();
  for (const chunk of missing) {
    const entry = wanted.get(chunk.digest) ?? { chunk, targets: [] };
    entry.targets.push({ file: chunk.file, position: chunk.position });
    wanted.set(chunk.digest, entry);
  }
  const copies: LocalCopy[] = [];
  for (const { digest, file, position, length } of wanted.size === 0 ? [] : present) {
    const entry = wanted.get(digest);
    if (entry === undefined) continue;
    wanted.delete(digest);
    for (const to of entry.targets) copies.push({ length, digest, from: { file, position }, to });
  }
  const chunks = [...wanted.values()].map(
    ({ chunk: { blob, offset, length, digest }, targets }): WantedBlobChunk => ({
      blob,
      offset,
      length,
      digest,
      targets,
    }),
  );
  return { copies, transfers: joinChunks(chunks) };
}
