import { resolve } from 'node:path';
import type { ModelName } from '../../core/names.js';
import { idOfCacheBlob, type CacheSnapshot } from '../../catalog/ingest/cache-snapshot.js';
import { gitBlobId } from '../../catalog/ingest/git-blob.js';
import { fileFilter, type FilePatterns } from '../../catalog/ingest/path-pattern.js';
import type { SourceFile } from '../../catalog/ingest/scan.js';
import type { Manifest } from '../../catalog/manifest.js';
import { CalyxError } from '../../core/errors.js';
import { HashPool, type OnBytes } from '../../catalog/ingest/hash-pool.js';
import { readSource, stageModel, type ImportMode } from '../../catalog/ingest/stage-model.js';
import { StoreLayout } from '../../catalog/store-layout.js';
import { commandManager } from '../store/manage.js';
import { lockModel } from '../store/model-lock.js';
import { refuseReplica } from '../store/replica/replica-file.js';

/** Options of {@link addModel}. */
export interface AddOptions {
  readonly dataDirectory: string;
  /** The model's directory. */
  readonly directory: string;
  readonly model: ModelName;
  /** It is a snapshot of a Hugging Face cache: its commit becomes the revision, its blobs are compared with their names. */
  readonly snapshot?: CacheSnapshot;
  /** Which of its files are taken. @default all */
  readonly patterns?: FilePatterns;
  readonly mode: ImportMode;
  readonly signal: AbortSignal;
  readonly onTotal?: (bytes: number) => void;
  readonly onBytes?: OnBytes;
  readonly onNotice?: (text: string) => void;
}

/** What was published. */
export interface Added {
  readonly revision: string;
  readonly generation: number;
  /** False if the store had this revision before. */
  readonly changed: boolean;
  readonly files: number;
  readonly bytes: number;
  /** Bytes that this run copied or linked. */
  readonly importedBytes: number;
  readonly blocks: number;
  /** Bytes that came over the network. */
  readonly fetchedBytes?: number;
}

/**
 * Publishes a local model directory into a store's data directory, whether a store runs on it or not.
 *
 * @throws CalyxError; nothing is published then, and the next call goes on from there
 */
export async function addModel(options: AddOptions): Promise<Added> {
  const layout = new StoreLayout(resolve(options.dataDirectory));
  const { model, signal } = options;
  const directory = resolve(options.directory);
  await refuseReplica(layout);
  // Before anything is made: what cannot be added leaves no trace.
  const source = await readSource(directory, model, fileFilter(options.patterns ?? {}));
  // Two that add the same model at the same time would write the same files.
  const lock = await lockModel(layout, model, 'calyx add');
  const pool = new HashPool({ signal });
  try {
    const revision = options.snapshot?.revision;
    const staged = await stageModel(layout, { ...options, directory, source, pool, revision });
    if (options.snapshot !== undefined) await checkCache(source.files, staged.manifest, signal);
    signal.throwIfAborted();
    const { ref, moved } = await commandManager(layout, signal).publish(model, staged.revision);
    const { manifest, importedBytes } = staged;
    return {
      revision: ref.revision,
      generation: ref.generation,
      changed: moved,
      files: manifest.files.length,
      bytes: manifest.totalBytes,
      importedBytes,
      blocks: manifest.blockCount,
    };
  } finally {
    await pool.close();
    await lock.release();
  }
}

/** @throws CalyxError `corrupt` if a file of a Hugging Face cache is not what the name of its blob says */
async function checkCache(
  files: readonly SourceFile[],
  manifest: Manifest,
  signal: AbortSignal,
): Promise<void> {
  for (const { path, realPath } of files) {
    const id = idOfCacheBlob(realPath);
    if (id === undefined) continue;
    const good =
      'sha256' in id
        ? manifest.file(path)?.blob === id.sha256
        : (await gitBlobId(realPath, signal)) === id.gitBlob;
    if (good) continue;
    throw new CalyxError(
      'corrupt',
      `${path} is damaged in the cache: ${realPath} is not what its name says`,
      {
        hint: 'remove it there and download it again; nothing was published',
      },
    );
  }
}
