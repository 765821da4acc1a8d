import { constants, copyFile, link, mkdir, rename, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { CalyxError, fileError, systemCode } from '../../core/errors.js';
import { formatModelName, type ModelName } from '../../core/names.js';
import { sha256 } from '../../core/digest.js';
import { mapLimited } from '../../core/map-limited.js';
import { formatSize } from '../../core/units.js';
import { bootId, writeFileAtomically } from '../../storage/files/durable.js';
import { checkComplete } from '../../weights/block-map.js';
import { readModel, type ModelWeights } from '../../weights/model-directory.js';
import type { Tensor } from '../../weights/tensor.js';
import { encodeManifest, manifestIds } from '../manifest-codec.js';
import { Manifest, type ManifestFile } from '../manifest.js';
import { parseSliceSpec } from '../slice-spec.js';
import type { StoreLayout } from '../store-layout.js';
import type { HashJob, HashResult } from './hash-file.js';
import type { HashPool, OnBytes } from './hash-pool.js';
import { changedError, identify, sameFile, scanDirectory, type SourceFile } from './scan.js';
import { sizeOf, StagingJournal } from './staging-journal.js';

/** How a file comes into the store: a copy, a hard link, or a clone that shares its blocks on the disk. */
export type ImportMode = 'copy' | 'link' | 'reflink';

/** What to stage, and how. */
export interface StageOptions {
  readonly directory: string;
  readonly model: ModelName;
  readonly mode: ImportMode;
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

/** The names of the staging area's contents. */
export const STAGED = { blobs: 'blobs', manifest: 'manifest.json', journal: 'files.jsonl' } as const;

/**
 * Gathers a model in the store's staging area: every file copied (or linked) and hashed, and the manifest. Nothing is
 * visible yet. May be interrupted at any point; the next call goes on from there.
 *
 * @throws CalyxError naming the file: `invalid-model`, `unsupported`, `unreadable`, `changed`, `disk-full`
 */
export async function stageModel(layout: StoreLayout, options: StageOptions): Promise<StagedModel> {
  const { directory, model } = options;
  refuseSliceName(model);
  const files = await scanDirectory(directory);
  const weights = await readModel(directory);
  checkComplete(weights.map, directory);
  const staging = layout.staging(model);
  const blobs = join(staging, STAGED.blobs);
  await mkdir(blobs, { recursive: true }).catch((error: unknown) => {
    throw fileError(error, 'cannot create', blobs);
  });
  const journal = await StagingJournal.open(join(staging, STAGED.journal));
  const found = await Promise.all(files.map((file) => findStaged(layout, model, file, journal)));
  const missing = files.filter((_, index) => found[index] === undefined);
  await checkSpace(options.mode, missing, blobs);
  options.onTotal?.(missing.reduce((sum, file) => sum + file.size, 0));
  const tensors = tensorsByFile(weights);
  const importer = new Importer(layout, options, journal, await bootId());
  const results = await mapLimited(files, options.pool.threads, async (file, index) => {
    return found[index] ?? importer.import(file, tensors.get(file.path) ?? []);
  });
  for (const file of files) {
    if (!sameFile(await identify(file.realPath), file)) throw changedError(join(directory, file.path));
  }
  const manifest = buildManifest(files, results, weights);
  const bytes = encodeManifest(manifest);
  await writeFileAtomically(join(staging, STAGED.manifest), bytes);
  return {
    revision: manifestIds(bytes).revision,
    manifest,
    importedBytes: missing.reduce((sum, file) => sum + file.size, 0),
  };
}

/** A file that an earlier run has brought into the staging area, or that is already published with this model. */
async function findStaged(
  layout: StoreLayout,
  model: ModelName,
  file: SourceFile,
  journal: StagingJournal,
): Promise<HashResult | undefined> {
  const result = journal.find(file);
  if (result === undefined) return undefined;
  const places = [join(layout.staging(model), STAGED.blobs, result.blob), layout.blob(model, result.blob)];
  for (const place of places) if ((await sizeOf(place)) === file.size) return result;
  return undefined;
}

class Importer {
  readonly #layout: StoreLayout;
  readonly #options: StageOptions;
  readonly #journal: StagingJournal;
  readonly #bootId: string;

  constructor(layout: StoreLayout, options: StageOptions, journal: StagingJournal, boot: string) {
    this.#layout = layout;
    this.#options = options;
    this.#journal = journal;
    this.#bootId = boot;
  }

  /** Brings one file into the staging area. */
  async import(file: SourceFile, tensors: HashJob['tensors']): Promise<HashResult> {
    const { model, mode, pool, signal, onBytes } = this.#options;
    signal.throwIfAborted();
    const staging = this.#layout.staging(model);
    // A copy may go on where it stopped only if it is of this very file, in this very boot: it was not synced.
    const identity = [file.realPath, file.size, file.inode, file.mtimeNs, this.#bootId].join('\n');
    const target = join(staging, STAGED.blobs, `partial-${sha256(identity).slice(0, 32)}`);
    const linked = mode === 'copy' ? false : await this.#tryLink(file, target, mode);
    const { size, inode, mtimeNs } = file;
    const copy = linked ? {} : { copyTo: target, copiedBytes: (await sizeOf(target)) ?? 0 };
    // The content that counts is what lies in the store, so a link is hashed at its new place.
    const source = linked ? target : file.realPath;
    const result = await pool.hash(
      { source, identity: linked ? await identify(target) : { size, inode, mtimeNs }, tensors, ...copy },
      onBytes ?? (() => undefined),
    );
    await rename(target, join(staging, STAGED.blobs, result.blob));
    await this.#journal.add(file, result);
    return result;
  }

  async #tryLink(file: SourceFile, target: string, mode: 'link' | 'reflink'): Promise<boolean> {
    await rm(target, { force: true });
    try {
      if (mode === 'link') await link(file.realPath, target);
      else await copyFile(file.realPath, target, constants.COPYFILE_FICLONE_FORCE);
      return true;
    } catch (error) {
      await rm(target, { force: true });
      const impossible = ['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'ENOTTY', 'ENOSYS'];
      if (!impossible.includes(systemCode(error) ?? ''))
        throw fileError(error, `cannot ${mode}`, file.realPath);
      this.#options.onNotice?.(
        `${file.path}: a ${mode} to the store's file system is not possible, so it is copied`,
      );
      return false;
    }
  }
}

function refuseSliceName(model: ModelName): void {
  // ORG/NAME_blocks_4-8 is how a slice of ORG/NAME is called where only repository names are understood.
  const match = /_blocks_(\d+-\d+)(?:_embed)?(?:_head)?$/.exec(model.name);
  if (match?.[1] === undefined || parseSliceSpec(match[1], Infinity) === undefined) return;
  throw new CalyxError('usage', `'${formatModelName(model)}' is the name of a slice, not of a model`, {
    hint: 'choose another name',
  });
}

async function checkSpace(mode: ImportMode, files: readonly SourceFile[], directory: string): Promise<void> {
  if (mode !== 'copy') return;
  const needed = files.reduce((sum, file) => sum + file.size, 0);
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

function buildManifest(
  files: readonly SourceFile[],
  results: readonly HashResult[],
  weights: ModelWeights,
): Manifest {
  const tensors = tensorsByFile(weights);
  const entries = files.map((file, index): ManifestFile => {
    const result = results[index];
    if (result === undefined) throw new Error(`no result for ${file.path}`);
    return { path: file.path, size: file.size, ...result, tensors: tensors.get(file.path) ?? [] };
  });
  // Tensors are listed shard by shard in the order of paths, so their index here is their ordinal in the manifest.
  return new Manifest(entries, weights.map);
}

function tensorsByFile(weights: ModelWeights): Map<string, Tensor[]> {
  const files = new Map<string, Tensor[]>();
  for (const { file, name, dtype, shape, offset, length } of weights.tensors) {
    const tensors = files.get(file) ?? [];
    files.set(file, tensors);
    tensors.push({ name, dtype, shape, offset, length });
  }
  return files;
}
