import { z } from 'zod';
import { fileError } from '../core/errors.js';
import type { ModelName } from '../core/names.js';
import { writeFileAtomically } from '../storage/files/durable.js';
import { readRecord } from './catalog-reader.js';
import type { StoreLayout } from './store-layout.js';

const addedFromSchema = z.object({
  source: z.string().min(1),
  mode: z.enum(['copy', 'link', 'reflink']).optional(),
  include: z.array(z.string()).optional(),
  exclude: z.array(z.string()).optional(),
});

/** Where a model was added from, so that it can be added from there again. Never a secret. */
export interface AddedFrom {
  /** As `calyx add` takes it; of a directory its whole path, of anything else what means the same on any day: a name, a URL. */
  readonly source: string;
  readonly mode?: 'copy' | 'link' | 'reflink' | undefined;
  /** Patterns of the files that were taken, and of those that were not. */
  readonly include?: readonly string[] | undefined;
  readonly exclude?: readonly string[] | undefined;
}

/** Remembers where a model was added from; for who holds the lock of the model (see lockModel). */
export async function rememberSource(layout: StoreLayout, model: ModelName, from: AddedFrom): Promise<void> {
  const path = layout.source(model);
  await writeFileAtomically(path, `${JSON.stringify(addedFromSchema.parse(from))}\n`).catch(
    (error: unknown) => {
      throw fileError(error, 'cannot write', path);
    },
  );
}

/** Where a model was added from last; undefined if that was not remembered. Throws CalyxError `corrupt`. */
export function addedFrom(layout: StoreLayout, model: ModelName): Promise<AddedFrom | undefined> {
  return readRecord(layout.source(model), addedFromSchema);
}
