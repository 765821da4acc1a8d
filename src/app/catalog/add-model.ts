import { resolve } from 'node:path';
import type { ModelName } from '../../core/names.js';
import { rememberSource } from '../../catalog/added-from.js';
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
  readonly mode: ImportMode;
  /** Copies only files that changed since an earlier revision. @default false */
  readonly reuse?: boolean;
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
  const source = await readSource(directory, model);
  // Two that add the same model at the same time would write the same files.
  const lock = await lockModel(layout, model, 'calyx add');
  const pool = new HashPool({ signal });
  try {
    const staged = await stageModel(layout, { ...options, directory, source, pool });
    signal.throwIfAborted();
    const { ref, moved } = await commandManager(layout, signal).publish(model, staged.revision);
    await rememberSource(layout, model, { source: directory, mode: options.mode });
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
