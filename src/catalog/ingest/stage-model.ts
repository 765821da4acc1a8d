import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Extent } from '../../core/byte-range.js';
import { CalyxError, fileError } from '../../core/errors.js';
import { formatModelName, type ModelName } from '../../core/names.js';
import { mapLimited } from '../../core/map-limited.js';
import { formatSize } from '../../core/units.js';
import { makeDirectories } from '../../storage/files/make-directories.js';
import { bootId, writeFileAtomically } from '../../storage/files/durable.js';
import type { ModelWeights } from '../../weights/model-directory.js';
import { encodeManifest, manifestIds } from '../manifest-codec.js';
import { fileCuts, Manifest, type ManifestFile } from '../manifest.js';
import { KeptContent } from '../kept-content.js';
import { parseSliceSpec } from '../slice-spec.js';
import type { StoreLayout } from '../store-layout.js';
import type { HashResult } from './hash-file.js';
import type { HashPool, OnBytes } from './hash-pool.js';
import { Importer, STAGED, type ImportMode } from './importer.js';
import { PublishedContent } from './published-content.js';
import { readModelSource, type ModelSource } from './model-source.js';
import { changedError, identify, sameFile, type SourceFile } from './scan.js';
import { StagingJournal } from './staging-journal.js';
import { NO_WEIGHTS, weightFiles, type WeightFile } from './weight-files.js';
import { sizeOf } from '../../storage/files/size-of.js';

/** What to stage, and how. */
export interface StageOptions {
  /** The model's directory, or its GGUF file. */
  readonly directory: string;
  /** What {@link readSource} found there; it is read now if not given. */
  readonly source?: ModelSource;
  readonly model: ModelName;
  /** Its id, 40 hex digits, if it has one where it comes from; otherwise it follows from the manifest. */
  readonly revision?: string | undefined;
  readonly mode: ImportMode;
  /** Reads files that may be published already before it copies them, and copies only those that changed. @default false */
  readonly reuse?: boolean;
  readonly pool: HashPool;
  readonly signal: AbortSignal;
  /** Called once the amount of work is known. */
  readonly onTotal?: (bytes: number) => void;
  readonly onBytes?: OnBytes;
  /** Called with a sentence when links were asked for but are not possible. */
  readonly onNotice?: (text: string) => void;
}

/** A model that is complete in the staging area. */
export interface StagedModel {
  readonly revision: string;
  readonly manifest: Manifest;
  /** Bytes that were copied or linked by this run; the rest was there already. */
  readonly importedBytes: number;
}

export { STAGED, type ImportMode };

/** What is inside a file that is no weights. */

/**
 * Gathers a model in the store's staging area: every file copied (or linked) and hashed, and the manifest. Nothing is
 * visible yet. May be interrupted at any point; the next call goes on from there.
 *
 * @throws CalyxError naming the file: `invalid-model`, `unsupported`, `unreadable`, `changed`, `disk-full`
 */
export async function stageModel(layout: StoreLayout, options: StageOptions): Promise<StagedModel> {
  const { directory, model } = options;
  const { files, weights } = options.source ?? (await readSource(directory, model));
  const staging = layout.staging(model);
  const blobs = join(staging, STAGED.blobs);
  await makeDirectories(blobs);
  const journal = await StagingJournal.open(join(staging, STAGED.journal));
  const inside = weightFiles(weights);
  const cutOf = (file: SourceFile): readonly Extent[] => fileCuts(inside.get(file.path) ?? NO_WEIGHTS);
  const kept = new KeptContent(layout);
  const found = await Promise.all(
    files.map(async (file) => {
      const result = journal.find(file, cutOf(file));
      if (result === undefined) return undefined;
      const content = { ...result, size: file.size };
      const there =
        (await sizeOf(join(blobs, result.blob))) === file.size ||
        (await kept.hasCut(model, content, cutOf(file)));
      // Brought into the staging area by an earlier run, or published with this model already.
      return there ? result : undefined;
    }),
  );
  const isMissing = (_: unknown, index: number): boolean => found[index] === undefined;
  options.onTotal?.(bytesOf(files.filter(isMissing)));
  if (options.reuse === true) {
    const published = await PublishedContent.open(layout, model);
    await mapLimited(files, options.pool.threads, async (file, index) => {
      if (found[index] !== undefined) return;
      const known = await published.find(file, cutOf(file), options.pool);
      if (known === undefined) return;
      found[index] = known;
      options.onBytes?.(file.size);
      await journal.add(file, cutOf(file), known);
    });
  }
  const missing = files.filter(isMissing);
  const importer = new Importer(layout, options, journal, await bootId());
  await importer.dropStale(files);
  await checkSpace(importer, options.mode, missing, blobs);
  const results = await mapLimited(files, options.pool.threads, async (file, index) => {
    return found[index] ?? importer.import(file, cutOf(file));
  });
  for (const file of files) {
    const now = await identify(file.realPath).catch(() => undefined);
    if (now === undefined || !sameFile(now, file)) throw changedError(file.realPath);
  }
  const manifest = buildManifest(files, results, weights, inside);
  const bytes = encodeManifest(manifest);
  const revision = await stageManifest(layout, model, bytes, options.revision);
  return {
    revision,
    manifest,
    importedBytes: bytesOf(missing),
  };
}

function bytesOf(files: readonly SourceFile[]): number {
  return files.reduce((sum, file) => sum + file.size, 0);
}

/**
 * Writes the manifest of a model whose blobs are staged or published, the last thing before it may be published.
 *
 * @param given the id of the revision, if that does not follow from the manifest
 * @returns the id of the revision
 */
export async function stageManifest(
  layout: StoreLayout,
  model: ModelName,
  bytes: Uint8Array,
  given?: string,
): Promise<string> {
  const staging = layout.staging(model);
  const ids = manifestIds(bytes);
  const revision = given ?? ids.revision;
  try {
    // It names its manifest, so that an older one left by a kill means nothing.
    const record = `${JSON.stringify({ revision, manifest: ids.digest })}\n`;
    await writeFileAtomically(join(staging, STAGED.revision), record);
    await writeFileAtomically(join(staging, STAGED.manifest), bytes);
  } catch (error) {
    throw fileError(error, 'cannot write', join(staging, STAGED.manifest));
  }
  return revision;
}

/**
 * Lists and reads, without changing anything, what is to be published.
 *
 * @throws CalyxError as {@link stageModel} does
 */
export async function readSource(
  directory: string,
  model: ModelName,
  wanted?: (path: string) => boolean,
): Promise<ModelSource> {
  refuseSliceName(model);
  return readModelSource(directory, wanted);
}

/** @throws CalyxError `usage` for `ORG/NAME_blocks_4-8`, which means a slice */
export function refuseSliceName(model: ModelName): void {
  // ORG/NAME_blocks_4-8 is how a slice of ORG/NAME is called where only repository names are understood.
  const match = /_blocks_(\d+-\d+)(?:_embed)?(?:_head)?$/.exec(model.name);
  if (match?.[1] === undefined || parseSliceSpec(match[1], Infinity) === undefined) return;
  throw new CalyxError('usage', `'${formatModelName(model)}' is the name of a slice, not of a model`, {
    hint: 'choose another name',
  });
}

/** What a copy still has to write; of a file that an interrupted run began, only the rest. */
async function checkSpace(
  importer: Importer,
  mode: ImportMode,
  files: readonly SourceFile[],
  directory: string,
): Promise<void> {
  if (mode !== 'copy') return;
  const rest = await Promise.all(files.map(async (file) => file.size - (await importer.copiedBytes(file))));
  const needed = rest.reduce((sum, bytes) => sum + bytes, 0);
  const { bavail, bsize } = await statfs(directory);
  if (needed <= bavail * bsize) return;
  throw new CalyxError(
    'disk-full',
    `the model needs ${formatSize(needed)}, but ${directory} has only ${formatSize(bavail * bsize)} free`,
    {
      hint: 'free some space, choose another --data directory, or use --link if the model is on the same file system',
    },
  );
}

/** The manifest of files that were hashed, in the order of the files. */
export function buildManifest(
  files: readonly SourceFile[],
  results: readonly HashResult[],
  weights: ModelWeights,
  inside: ReadonlyMap<string, WeightFile>,
): Manifest {
  const entries = files.map((file, index): ManifestFile => {
    const result = results[index];
    if (result === undefined) throw new Error(`no result for ${file.path}`);
    return { path: file.path, size: file.size, ...result, ...(inside.get(file.path) ?? NO_WEIGHTS) };
  });
  // Tensors are listed shard by shard in the order of paths, so their index here is their ordinal in the manifest.
  return new Manifest(entries, weights.map);
}
