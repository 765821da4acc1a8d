import { randomBytes } from 'node:crypto';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CHUNK_BYTES } from '../../core/chunking.js';
import { sha256, type Digest } from '../../core/digest.js';
import { CalyxError, fileError } from '../../core/errors.js';
import {
  decodeBundleIndex,
  encodeBundleIndex,
  type BundledChunk,
  type BundleIndex,
} from '../../storage/bundles/bundle-index.js';
import { syncDirectory, writeFileAtomically } from '../../storage/files/durable.js';
import { fillBuffer } from '../../storage/fill-buffer.js';
import { makeDirectories } from '../../storage/files/make-directories.js';
import { writeFully } from '../fetch/write-fully.js';
import type { StoreLayout } from '../store-layout.js';

/** A chunk and where it is to be read. */
export interface ChunkToCopy extends BundledChunk {
  readonly path: string;
  /** In that file. */
  readonly offset: number;
}

/** Makes a bundle of a whole file, which becomes it: nothing is copied. Its chunks were compared with their digests before. */
export async function bundleOfFile(
  layout: StoreLayout,
  path: string,
  chunks: readonly BundledChunk[],
): Promise<BundleIndex> {
  const index = await writeIndex(layout, chunks);
  await rename(path, layout.bundle(index.id));
  await syncDirectory(layout.bundles);
  return index;
}

/**
 * Makes a bundle of copies of chunks, each compared with its digest on the way.
 *
 * @throws CalyxError `corrupt` naming the file that has other bytes; `disk-full`
 */
export async function bundleOfChunks(
  layout: StoreLayout,
  chunks: readonly ChunkToCopy[],
): Promise<BundleIndex> {
  const index = await writeIndex(layout, chunks);
  const path = layout.bundle(index.id);
  await writeBesides(path, async (file) => {
    let position = 0;
    await readChunks(chunks, async (bytes) => {
      await writeFully(file, bytes, position);
      position += bytes.byteLength;
    });
  });
  return index;
}

/**
 * Puts the right bytes into a bundle of which some are wrong. All of it is written again, because the file may have other names, which are not ours.
 *
 * @param good for chunks of the bundle by their place in it, where their right bytes are
 */
export async function repairBundle(
  layout: StoreLayout,
  bundle: BundleIndex,
  good: ReadonlyMap<number, ChunkToCopy>,
): Promise<void> {
  const path = layout.bundle(bundle.id);
  await writeBesides(path, async (file) => {
    const old = await open(path, 'r');
    try {
      const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
      for (const [index, { length }] of bundle.chunks.entries()) {
        const offset = bundle.offsets[index] ?? 0;
        const chunk = good.get(index);
        if (chunk !== undefined) {
          await readChunks([chunk], (bytes) => writeFully(file, bytes, offset));
          continue;
        }
        await fillBuffer(old, buffer.subarray(0, length), offset, path);
        await writeFully(file, buffer.subarray(0, length), offset);
      }
    } finally {
      await old.close();
    }
  });
}

/** First, so that chunks whose index is missing were left by a removal, and never by a beginning. */
async function writeIndex(layout: StoreLayout, chunks: readonly BundledChunk[]): Promise<BundleIndex> {
  const { id, bytes } = encodeBundleIndex(chunks);
  await makeDirectories(layout.bundles);
  await writeFileAtomically(layout.bundleIndex(id), bytes);
  return decodeBundleIndex(bytes, id);
}

async function writeBesides(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const beside = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = await open(beside, 'wx');
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await rm(beside, { force: true });
    throw fileError(error, 'cannot write', path);
  }
}

/** Reads chunks one after the other; each file is opened once for those that follow each other. */
export async function readChunks(
  chunks: Iterable<ChunkToCopy>,
  use: (bytes: Uint8Array, chunk: ChunkToCopy) => void | Promise<void>,
  onWrong: (chunk: ChunkToCopy) => void = (chunk) => {
    throw wrongBytes(chunk.path, chunk.offset, chunk.digest);
  },
): Promise<void> {
  const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  let now: { readonly path: string; readonly file: FileHandle } | undefined;
  try {
    for (const chunk of chunks) {
      if (now?.path !== chunk.path) {
        await now?.file.close();
        now = undefined;
        now = { path: chunk.path, file: await open(chunk.path, 'r') };
      }
      const bytes = buffer.subarray(0, chunk.length);
      await fillBuffer(now.file, bytes, chunk.offset, chunk.path);
      if (sha256(bytes) === chunk.digest) await use(bytes, chunk);
      else onWrong(chunk);
    }
  } catch (error) {
    throw fileError(error, 'cannot read', now?.path ?? 'a file of chunks');
  } finally {
    await now?.file.close();
  }
}

function wrongBytes(path: string, offset: number, digest: Digest): CalyxError {
  return new CalyxError(
    'corrupt',
    `${path} has other bytes at ${offset} than it had: their SHA-256 is not ${digest}`,
    {
      hint: 'something has changed the file; add the model again',
    },
  );
}
