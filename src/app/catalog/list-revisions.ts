import { z } from 'zod';
import { DiskCatalog } from '../../catalog/catalog-reader.js';
import type { StoreLayout } from '../../catalog/store-layout.js';
import { isCalyxError } from '../../core/errors.js';
import { formatModelName, type ModelName } from '../../core/names.js';
import { askOwner } from '../../storage/files/ownership.js';
import { readLocalToken } from '../store/owner-commands.js';
import {
  revisionSummarySchema,
  summarizeRevisions,
  type RevisionSummary,
} from '../store/revision-summary.js';
import { StoreUsage } from '../store/store-usage.js';
import { chosenModels, type DamagedModel } from './list-models.js';

/** Revisions of a store's data directory. */
export interface ListedRevisions {
  readonly revisions: readonly RevisionSummary[];
  readonly damaged: readonly DamagedModel[];
}

/**
 * The revisions of all models or one. Who uses them is what a store that runs on the directory tells; if none does, what one wrote down
 * last. Changes nothing.
 *
 * @throws CalyxError `not-found` if `only` is not there
 */
export async function listRevisions(
  layout: StoreLayout,
  only: ModelName | undefined,
  signal: AbortSignal,
): Promise<ListedRevisions> {
  const catalog = new DiskCatalog(layout);
  const revisions: RevisionSummary[] = [];
  const damaged: DamagedModel[] = [];
  for (const model of await chosenModels(catalog, only)) {
    try {
      revisions.push(...(await ofModel(layout, catalog, model, signal)));
    } catch (error) {
      if (!isCalyxError(error, 'corrupt', 'unreadable', 'not-found')) throw error;
      damaged.push({ model: formatModelName(model), error: error.message });
    }
  }
  return { revisions, damaged };
}

async function ofModel(
  layout: StoreLayout,
  catalog: DiskCatalog,
  model: ModelName,
  signal: AbortSignal,
): Promise<RevisionSummary[]> {
  try {
    const token = await readLocalToken(layout);
    const request = { operation: 'revisions', input: { model: formatModelName(model) }, token };
    const told = await askOwner(layout.owners, request, { signal, leaveDead: true });
    if (told !== undefined) return z.array(revisionSummarySchema).parse(told.output);
    const usage = await StoreUsage.load(layout).catch(() => undefined);
    return await summarizeRevisions(layout, catalog, model, usage?.allUsersOf);
  } catch (error) {
    signal.throwIfAborted();
    // Who may not manage the store may read the directory all the same; so may one beside which another command is at work.
    if (isCalyxError(error, 'corrupt', 'unreadable', 'not-found')) throw error;
    return summarizeRevisions(layout, catalog, model, undefined);
  }
}
