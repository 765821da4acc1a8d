import { resolve } from 'node:path';
import type { StoreAccess } from '../../core/access.js';
import { formatModelName, type ModelSpec } from '../../core/names.js';
import { fetchSlice, type FetchResult } from '../../catalog/fetch/fetch-slice.js';
import type { PartId } from '../../weights/parts.js';
import { StoreClient, type RemoteRevision } from '../../protocols/http/store-client.js';
import type { ResolvedRevision } from '../../catalog/catalog-reader.js';
import { SOURCE_DEFAULTS } from './source-stack.js';
import { Transfers } from './transfer-runners.js';

/** Options of {@link fetchRevision}. */
export interface FetchRevisionOptions {
  readonly stores: StoreAccess;
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

/** Options of {@link fetchModel}. */
export interface FetchModelOptions extends FetchRevisionOptions {
  readonly spec: ModelSpec;
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
  const client = new StoreClient(options.stores);
  try {
    const revision = await client.resolve(options.spec, options.signal);
    const fetched = await fetchRevision(revision, options);
    return { ...fetched, seconds: (performance.now() - startedAt) / 1000 };
  } finally {
    await client.close();
  }
}

/** As {@link fetchModel}, of a revision whose manifest is here already. */
export async function fetchRevision(
  revision: RemoteRevision,
  options: FetchRevisionOptions,
): Promise<FetchedModel> {
  const startedAt = performance.now();
  const { stores, signal, add, drop, onTotal, onBytes, budgetBytes, dryRun, sync } = options;
  const into = resolve(options.into);
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
    createRunner: () =>
      new Transfers(into, {
        urls: stores.urls.map((url) => url.href),
        credential: stores.credential,
        ...SOURCE_DEFAULTS,
      }),
  });
  return {
    ...result,
    model: formatModelName(revision.model),
    revision,
    manifestBytes: revision.manifestBytes,
    seconds: (performance.now() - startedAt) / 1000,
  };
}
