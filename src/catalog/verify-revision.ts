import { BundleCheck } from './bundles/bundle-check.js';
import { isCalyxError } from '../core/errors.js';
import { mapLimited } from '../core/map-limited.js';
import type { BadChunk } from './ingest/hash-file.js';
import type { HashPool, OnBytes } from './ingest/hash-pool.js';
import { sizeOf } from '../storage/files/size-of.js';
import { fileCuts, type Manifest, type ManifestFile } from './manifest.js';
import type { ResolvedRevision } from './catalog-reader.js';
import type { StoreLayout } from './store-layout.js';

/** Something wrong with a published file. */
export interface Finding {
  /** The file, relative to the model. */
  readonly path: string;
  /** Where its content lies. */
  readonly blobPath: string;
  readonly problem: string;
  /** The chunk, if it is one. */
  readonly chunk?: BadChunk;
  /** The tensor that the chunk is part of, if any. */
  readonly tensor?: string;
}

/**
 * Reads all content of a revision again and compares every chunk with the manifest.
 *
 * @param bundles for what lies in bundles of chunks; kept between revisions so that each is read once
 * @param checked what is known of blobs by their paths, kept between revisions for the same
 * @returns what is wrong, file by file; empty if nothing is
 * @throws what ended the pool's jobs early
 */
export async function verifyRevision(
  layout: StoreLayout,
  { model, manifest }: ResolvedRevision,
  pool: HashPool,
  onBytes: OnBytes,
  bundles = new BundleCheck(layout, pool, onBytes),
  checked = new Map<string, Promise<Finding[]>>(),
): Promise<Finding[]> {
  const findings = await mapLimited(manifest.files, pool.threads, async (file) => {
    const blobPath = layout.blob(model, file.blob);
    let findings = checked.get(blobPath);
    if (findings === undefined) {
      findings = checkContent(manifest, file, blobPath, { pool, onBytes, bundles });
      checked.set(blobPath, findings);
    }
    return (await findings).map((finding) => ({ ...finding, path: file.path }));
  });
  return findings.flat();
}

interface Checkers {
  readonly pool: HashPool;
  readonly onBytes: OnBytes;
  readonly bundles: BundleCheck;
}

async function checkContent(
  manifest: Manifest,
  file: ManifestFile,
  blobPath: string,
  { pool, onBytes, bundles }: Checkers,
): Promise<Finding[]> {
  const place = { path: file.path, blobPath };
  const size = await sizeOf(blobPath);
  if (size === undefined) {
    // As it is cut in bundles.
    const cut = manifest.fileOfBlob(file.blob) ?? file;
    const bad = await bundles.badChunks(manifest, cut);
    if (bad === undefined) return [{ ...place, problem: 'its blob is missing' }];
    return bad.map(({ path, ...chunk }) => describe(manifest, cut, path, chunk));
  }
  const found: Finding[] =
    size === file.size ? [] : [{ ...place, problem: `it has ${size} bytes instead of ${file.size}` }];
  const { chunkDigests } = file;
  try {
    const bad = await pool.check(
      { path: blobPath, size: file.size, tensors: fileCuts(file), chunkDigests },
      onBytes,
    );
    return [...found, ...bad.map((chunk) => describe(manifest, file, blobPath, chunk))];
  } catch (error) {
    // An interruption, or a machine that has no descriptors left, says nothing about the file.
    if (!isCalyxError(error, 'unreadable', 'not-found')) throw error;
    return [...found, { ...place, problem: error.message }];
  }
}

function describe(manifest: Manifest, file: ManifestFile, blobPath: string, chunk: BadChunk): Finding {
  const tensor = file.tensors.find(
    ({ offset, length }) => chunk.offset >= offset && chunk.offset < offset + length,
  )?.name;
  const problem = `chunk ${chunk.index} (${chunk.length} bytes at ${chunk.offset}) does not match ${manifest.chunk(file, chunk.index).digest}`;
  return { path: file.path, blobPath, problem, chunk, ...(tensor === undefined ? {} : { tensor }) };
}
