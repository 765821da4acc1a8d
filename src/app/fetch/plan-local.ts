import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { outlineManifest } from '../../catalog/ingest/outline-manifest.js';
import { planEmptySlice, type SlicePlan } from '../../catalog/fetch/plan-empty-slice.js';
import { isCalyxError } from '../../core/errors.js';
import { parseModelSpec } from '../../core/names.js';
import type { PartId } from '../../weights/parts.js';

/** Options of {@link planLocal}. */
export interface PlanLocalOptions {
  /** The model's directory. */
  readonly directory: string;
  /** What a slice would hold; given the number of blocks of the model. */
  readonly add: (blockCount: number) => readonly PartId[];
  /** Where it would be written, if that is known: then the disk's free space is checked. */
  readonly into?: string;
  readonly budgetBytes?: number;
}

/** What fetching blocks of a model would take, if it were published. */
export interface LocalPlan extends SlicePlan {
  readonly seconds: number;
}

/**
 * Plans a slice of a model directory of this machine from its headers, without a store. Chunks with equal content are counted
 * each, because nothing is hashed.
 *
 * @throws CalyxError `over-budget`, `disk-full`, and as `readModel` does
 */
export async function planLocal(options: PlanLocalOptions): Promise<LocalPlan> {
  const startedAt = performance.now();
  const { directory, add, into, budgetBytes } = options;
  const manifest = await outlineManifest(resolve(directory));
  const plan = await planEmptySlice({
    manifest,
    add: add(manifest.blockCount),
    ...(into === undefined ? {} : { into: resolve(into) }),
    ...(budgetBytes === undefined ? {} : { budgetBytes }),
  });
  return { ...plan, seconds: (performance.now() - startedAt) / 1000 };
}

/**
 * True if MODEL on the command line is a directory of this machine: it begins with `/`, `./` or `../`, or does not have the form
 * `ORG/NAME[@REVISION]` and a directory of that name exists.
 */
export function isLocalModel(text: string): boolean {
  if (/^(?:\/|\.{1,2}(?:\/|$))/.test(text)) return true;
  try {
    parseModelSpec(text);
    return false;
  } catch (error) {
    if (!isCalyxError(error, 'usage')) throw error;
    return statSync(text, { throwIfNoEntry: false })?.isDirectory() === true;
  }
}
