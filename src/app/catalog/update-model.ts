import { resolve } from 'node:path';
import { addedFrom, type AddedFrom } from '../../catalog/added-from.js';
import { DiskCatalog } from '../../catalog/catalog-reader.js';
import type { OnBytes } from '../../catalog/ingest/hash-pool.js';
import { StoreLayout } from '../../catalog/store-layout.js';
import { revisionNames } from '../../catalog/stored-revisions.js';
import { CalyxError } from '../../core/errors.js';
import { formatModelName, type ModelName } from '../../core/names.js';
import { addFrom } from './add-from.js';
import type { Added } from './add-model.js';
import { describeSource, parseAddSource } from './add-source.js';

/** Options of {@link updateModel}. */
export interface UpdateOptions {
  readonly dataDirectory: string;
  readonly model: ModelName;
  /** Where the new revision comes from, if not from where the last one came. */
  readonly source?: string | undefined;
  readonly signal: AbortSignal;
  readonly onTotal?: (bytes: number) => void;
  readonly onBytes?: OnBytes;
  readonly onNotice?: (text: string) => void;
}

/** What an update did, and from where. */
export interface Updated extends Added {
  readonly source: string;
}

/**
 * Adds a new revision of a model from where it came, and moves only what changed. If nothing did, nothing is published.
 *
 * @throws CalyxError `not-found` if there is no such model, or its source is gone; `usage` if it is not known where it came from; as
 * {@link addFrom} does
 */
export async function updateModel(options: UpdateOptions): Promise<Updated> {
  const layout = new StoreLayout(resolve(options.dataDirectory));
  const { model } = options;
  await revisionNames(layout, new DiskCatalog(layout), model);
  const from = await sourceOf(layout, options);
  const source = await parseAddSource(from.source, options.onNotice);
  const { mode = 'copy', include, exclude } = from;
  const added = await addFrom(source, { ...options, patterns: { include, exclude }, mode, reuse: true });
  return { ...added, source: describeSource(source) };
}

async function sourceOf(layout: StoreLayout, { model, source }: UpdateOptions): Promise<AddedFrom> {
  const before = await addedFrom(layout, model);
  if (source !== undefined) return { ...before, source };
  if (before !== undefined) return before;
  const name = formatModelName(model);
  throw new CalyxError('usage', `it was not written down where ${name} came from`, {
    hint: `say it this once: calyx update ${name} DIRECTORY`,
  });
}
