import { resolve } from 'node:path';
import { join } from 'node:path';
import type { ModelName } from '../../core/names.js';
import { fileError } from '../../core/errors.js';
import { HashPool, type OnBytes } from '../../catalog/ingest/hash-pool.js';
import { stageModel, type ImportMode } from '../../catalog/ingest/stage-model.js';
import { StoreLayout } from '../../catalog/store-layout.js';
import { acquireOwnership } from '../../storage/files/ownership.js';
import { commandManager } from '../store/manage.js';

/** Options of {@link addModel}. */
export interface AddOptions {
  readonly dataDirectory: string;
  /** The model's directory. */
  readonly directory: string;
  readonly model: ModelName;
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
}

/**
 * Publishes a local model directory into a store's data directory, whether a store runs on it or not.
 *
 * @throws CalyxError; nothing is published then, and the next call goes on from there
 */
export async function addModel(options: AddOptions): Promise<Added> {
  const layout = new StoreLayout(resolve(options.dataDirectory));
  const { model, signal } = options;
  // Two that add the same model at the same time would write the same files.
  const staging = await acquireOwnership(join(layout.staging(model), 'owners'), {
    description: `calyx add (process ${process.pid})`,
  }).catch((error: unknown) => {
    throw fileError(error, 'cannot use', layout.root);
  });
  const pool = new HashPool({ signal });
  try {
    const staged = await stageModel(layout, { ...options, directory: resolve(options.directory), pool });
    signal.throwIfAborted();
    const { ref, moved } = await commandManager(layout, signal).publish(model);
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
    await staging.release();
  }
}
