import { resolve } from 'node:path';
import { formatModelName, type ModelSpec } from '../../core/names.js';
import { fetchSlice, type FetchResult } from '../../catalog/fetch/fetch-slice.js';
import type { PartId } from '../../weights/parts.js';
import { StoreClient } from '../../protocols/http/store-client.js';
import type { ResolvedRevision } from '../../catalog/catalog-reader.js';
import { SOURCE_DEFAULTS } from './source-stack.js';
import { Transfers } from './transfer-runners.js';

/** Options of {@link fetchModel}. */
export interface FetchModelOptions {
  readonly spec: ModelSpec;
  readonly stores: readonly URL[];
  readonly into: string;
  /** What to bring in; given the number of blocks of the model. */
  readonly add: (blockCount: number) => readonly PartId[];
  /** What to remove. */
  readonly drop?: (blockCount: number) => readonly PartId[];
  readonly budgetBytes?: number;
  readonly dryRun?: boolean;
  /** Syncs each part before it is shown. @default false */
  readonly sync?: boolean;
  readonly signal: AbortSignal;
  readonly onTotal?: (bytes: number) => void;
  readonly onBytes?: (bytes: number) => void;
}

/** What a fetch did, with the revision that it was of. */
export interface FetchedModel extends FetchResult {
  readonly model: string;
  readonly revision: ResolvedRevision;
  /** Bytes of the manifest, which comes besides the blobs. */
  readonly manifestBytes: number;
  readonly seconds: number;
}

/** Fetches a slice of a model from the stores; rejects as `fetchSlice` does. */
export async function fetchModel(options: FetchModelOptions): Promise<FetchedModel> {
  const startedAt = performance.now();
  const { spec, stores, signal, add, drop, onTotal, onBytes, budgetBytes, dryRun, sync } = options;
  const into = resolve(options.into);
  const client = new StoreClient(stores);
  try {
    const revision = await client.resolve(spec, signal);
    const { blockCount } = revision.manifest;
    const result = await fetchSlice({
      revision,
      into,
      add: add(blockCount),
      drop: drop?.(blockCount) ?? [],
      ...(budgetBytes === undefined ? {} : { budgetBytes }),
      ...(dryRun === undefined ? {} : { dryRun }),
      ...(sync === undefined ? {} : { sync }),
      ...(onTotal === undefined ? {} : { onTotal }),
      ...(onBytes === undefined ? {} : { onBytes }),
      signal,
      createRunner: () => new Transfers(into, { urls: stores.map((url) => url.href), ...SOURCE_DEFAULTS }),
    });
    return {
      ...result,
      model: formatModelName(revision.model),
      revision,
      manifestBytes: revision.manifestBytes,
      seconds: (performance.now() - startedAt) / 1000,
    };
  } finally {
    await client.close();
  }
}
