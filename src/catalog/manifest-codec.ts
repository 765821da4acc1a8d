import { z } from 'zod';
import { isByteCount } from '../core/byte-range.js';
import { CHUNK_BYTES, ChunkLayout } from '../core/chunking.js';
import { DIGEST_BYTES, isDigest, sha256, type Digest } from '../core/digest.js';
import { CalyxError, errorMessage } from '../core/errors.js';
import { parseFilePath } from '../core/names.js';
import { MAX_SHARED_TENSORS } from '../weights/gguf/gguf-block-map.js';
import { checkMetadata, type GgufMetadata } from '../weights/gguf/gguf-metadata.js';
import { checkGgufTensor } from '../weights/gguf/gguf-tensor.js';
import type { WeightFormat } from '../weights/parts.js';
import { checkOverlap, checkTensor } from '../weights/safetensors-header.js';
import type { Tensor } from '../weights/tensor.js';
import { fileCuts, Manifest, type ManifestFile } from './manifest.js';

/** Grows when the meaning of the bytes changes. */
const FORMAT = 'calyx-manifest-1';

/** A manifest of 400 GB in 4 MiB chunks has about 10 MB; this leaves room for six times that. */
export const MAX_MANIFEST_BYTES = 64 * 1024 * 1024;

/** Far more than any model has, and few enough to be checked in a moment. */
const MAX_FILES = 100_000;
const MAX_TENSORS = 1_000_000;
const MAX_BLOCKS = 10_000;

// A tensor is an array, [name, dtype, shape, offset, length], because there may be tens of thousands.
const tensorSchema = z.tuple([z.string(), z.string(), z.array(z.number()), z.number(), z.number()]);
const ordinalsSchema = z.array(z.number().int().nonnegative());
const ggufSchema = z.strictObject({
  alignment: z.number(),
  count: z.int().nonnegative(),
  pairs: z.string(),
  furtherCount: z.int().nonnegative(),
  further: z.array(z.tuple([z.number(), z.number()])),
});
const manifestSchema = z.strictObject({
  format: z.literal(FORMAT),
  chunkBytes: z.literal(CHUNK_BYTES),
  files: z.array(
    z.strictObject({
      path: z.string(),
      size: z.number(),
      blob: z.string().refine(isDigest, 'not a SHA-256'),
      chunks: z.string(),
      tensors: z.array(tensorSchema),
      gguf: ggufSchema.optional(),
    }),
  ),
  parts: z.strictObject({ embed: ordinalsSchema, blocks: z.array(ordinalsSchema), head: ordinalsSchema }),
});

/** The canonical bytes of a manifest: JSON without white space, keys in one order, files by path, chunk digests in base64. */
export function encodeManifest(manifest: Manifest): Uint8Array {
  const { embed, blocks, head } = manifest.map;
  return Buffer.from(
    JSON.stringify({
      format: FORMAT,
      chunkBytes: CHUNK_BYTES,
      files: manifest.files.map((file) => ({
        path: file.path,
        size: file.size,
        blob: file.blob,
        chunks: Buffer.from(file.chunkDigests).toString('base64'),
        tensors: file.tensors.map(({ name, dtype, shape, offset, length }) => [
          name,
          dtype,
          shape,
          offset,
          length,
        ]),
        ...(file.gguf === undefined ? {} : { gguf: encodeGguf(file.gguf) }),
      })),
      parts: { embed, blocks, head },
    }),
  );
}

/**
 * Reads a manifest and checks everything that later code relies on: paths, digests, extents, ordinals, and that these are
 * the canonical bytes.
 *
 * @throws CalyxError `corrupt` naming what is wrong
 */
export function decodeManifest(bytes: Uint8Array): Manifest {
  try {
    if (bytes.byteLength > MAX_MANIFEST_BYTES)
      throw new Error(
        `it has ${bytes.byteLength} bytes, more than the ${MAX_MANIFEST_BYTES} that are allowed`,
      );
    const raw = manifestSchema.parse(
      parseBounded(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)),
    );
    const format = raw.files.some((file) => file.gguf !== undefined) ? 'gguf' : 'safetensors';
    const files = raw.files.map((file) =>
      checkFile(
        {
          path: file.path,
          size: file.size,
          blob: file.blob,
          chunkDigests: Buffer.from(file.chunks, 'base64'),
          tensors: file.tensors.map(([name, dtype, shape, offset, length]) => ({
            name,
            dtype,
            shape,
            offset,
            length,
          })),
          ...(file.gguf === undefined ? {} : { gguf: decodeGguf(file.gguf) }),
        },
        format,
      ),
    );
    const manifest = new Manifest(files, { blockCount: raw.parts.blocks.length, ...raw.parts });
    checkManifest(manifest);
    if (!Buffer.from(encodeManifest(manifest)).equals(bytes)) throw new Error('it is not in canonical form');
    return manifest;
  } catch (error) {
    const problem = error instanceof z.ZodError ? z.prettifyError(error).slice(0, 500) : errorMessage(error);
    throw new CalyxError('corrupt', `the manifest is not valid: ${problem}`, {
      hint: 'the store may run another version of Calyx; update both',
      cause: error,
    });
  }
}

function encodeGguf(gguf: GgufMetadata): z.input<typeof ggufSchema> {
  return {
    alignment: gguf.alignment,
    count: gguf.pairCount,
    pairs: Buffer.from(gguf.pairs).toString('base64'),
    furtherCount: gguf.furtherCount,
    further: gguf.further.map(({ offset, length }) => [offset, length]),
  };
}

function decodeGguf(raw: z.infer<typeof ggufSchema>): GgufMetadata {
  return {
    alignment: raw.alignment,
    pairCount: raw.count,
    pairs: Buffer.from(raw.pairs, 'base64'),
    furtherCount: raw.furtherCount,
    further: raw.further.map(([offset, length]) => ({ offset, length })),
  };
}

/** The digest by which a manifest is fetched, and the revision id it gives to a model without a Hub commit. */
export function manifestIds(bytes: Uint8Array): { digest: Digest; revision: string } {
  const digest = sha256(bytes);
  return { digest, revision: digest.slice(0, 40) };
}

/** Parses the JSON, and refuses what would only use up memory before the schema looks at each of its items. */
function parseBounded(bytes: Buffer): unknown {
  // No canonical manifest has three lists that begin at once; a hostile one may have millions.
  if (bytes.includes('[[[')) throw new Error('its lists are nested too deeply');
  const raw = JSON.parse(bytes.toString('utf8')) as {
    readonly files?: readonly { readonly tensors?: readonly unknown[] }[];
    readonly parts?: Readonly<Record<'embed' | 'head', readonly unknown[]>> & {
      readonly blocks?: readonly unknown[][];
    };
  };
  const files = lengthOf(raw.files);
  const blocks = lengthOf(raw.parts?.blocks);
  if (files > MAX_FILES || blocks > MAX_BLOCKS) throw new Error(`it has ${files} files and ${blocks} blocks`);
  const tensors = total(raw.files?.map((file) => lengthOf(file.tensors)));
  const members = [raw.parts?.embed, raw.parts?.head].map(lengthOf);
  // A tensor is in one block at most, but for a few that all share; the two ends may share some.
  const inBlocks = total(raw.parts?.blocks?.map(lengthOf));
  if (
    tensors > MAX_TENSORS ||
    inBlocks > tensors + blocks * MAX_SHARED_TENSORS ||
    members.some((count) => count > tensors)
  ) {
    throw new Error(`it has ${tensors} tensors, and ${inBlocks} in its blocks`);
  }
  return raw;
}

function lengthOf(value: unknown): number {
  return Array.isArray(value) ? value.length : 0;
}

function total(counts: readonly number[] = []): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

function checkFile(file: ManifestFile, format: WeightFormat): ManifestFile {
  parseFilePath(file.path);
  if (!isByteCount(file.size)) throw new Error(`${file.path}: impossible size`);
  // A layout takes memory for each chunk, so a size that the digests cannot cover is refused before one is made.
  if (file.size > (file.chunkDigests.byteLength / DIGEST_BYTES) * CHUNK_BYTES)
    throw new Error(`${file.path}: it has too few chunk digests for its size`);
  let last: Tensor | undefined;
  for (const tensor of file.tensors) {
    if (format === 'gguf') checkGgufTensor(tensor, file.size, file.path);
    else checkTensor(tensor, file.size, file.path);
    // It would stand twice in the header of a part, where this name has another meaning.
    if (last !== undefined && tensor.offset < last.offset)
      throw new Error(`${file.path}: tensors out of order`);
    last = tensor;
  }
  checkOverlap(file.tensors, file.path);
  if (file.gguf !== undefined) checkMetadata(file.gguf, file.size, file.path);
  // Refuses metadata that lies among the tensors, too.
  const { count } = ChunkLayout.of(file.size, fileCuts(file));
  if (file.chunkDigests.byteLength !== count * DIGEST_BYTES)
    throw new Error(`${file.path}: it needs ${count} chunk digests`);
  return file;
}

function checkManifest(manifest: Manifest): void {
  let last: string | undefined;
  for (const file of manifest.files) {
    const { path } = file;
    if (last !== undefined && !(last < path)) throw new Error('files out of order');
    last = path;
    for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
      if (manifest.file(path.slice(0, slash)) !== undefined)
        throw new Error(`${path.slice(0, slash)} is a file and a directory`);
    }
    if (manifest.fileOfBlob(file.blob)?.size !== file.size)
      throw new Error(`the blob ${file.blob} has two sizes`);
  }
  if (manifest.files.filter(({ gguf }) => gguf !== undefined).length > 1)
    throw new Error('two files have the metadata of a GGUF model');
  const names = new Set<string>();
  let count = 0;
  for (const file of manifest.files) {
    for (const { name } of file.tensors) {
      if (names.has(name)) throw new Error(`the tensor ${name} appears twice`);
      names.add(name);
      count += 1;
    }
  }
  const { embed, blocks, head } = manifest.map;
  for (const part of [embed, head, ...blocks]) {
    if (new Set(part).size !== part.length || part.some((ordinal) => ordinal >= count)) {
      throw new Error('a part names a tensor that does not exist, or one twice');
    }
  }
}
