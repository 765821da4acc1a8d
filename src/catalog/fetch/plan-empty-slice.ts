import type { PartId } from '../../weights/parts.js';
import type { Manifest } from '../manifest.js';
import { sliceFiles } from '../slice.js';
import { checkSpace } from './disk-space.js';
import { budgetNeeded, checkBudget } from './slice-budget.js';
import { chunksAt, placedChunks, planChunks, type FilePlan } from './slice-plan.js';
import { transferTotals } from './transfer.js';

/** Options of {@link planEmptySlice}. */
export interface PlanEmptySliceOptions {
  readonly manifest: Manifest;
  readonly add: readonly PartId[];
  /** Where the slice would be written; its disk's free space is checked. */
  readonly into?: string;
  /** @default no bound */
  readonly budgetBytes?: number;
}

/** What writing a slice into an empty directory takes. The names are those of a fetch's result. */
export interface SlicePlan {
  readonly bytesNeeded: number;
  readonly bytesFetched: number;
  readonly bytesOnDisk: number;
  readonly budgetNeeded: number;
  readonly chunks: number;
}

/** Plans a slice in an empty directory. Throws CalyxError `over-budget`, `disk-full`, or `usage` for a block that is not there. */
export async function planEmptySlice(options: PlanEmptySliceOptions): Promise<SlicePlan> {
  const { manifest, add, into, budgetBytes } = options;
  // The name of the model has no part in its bytes, but for those of the small file that tells it.
  const revision = { model: { org: 'local', name: 'model' }, revision: '0'.repeat(40), manifest };
  const files = [...sliceFiles(revision, add)].map(([name, file]): FilePlan => ({
    name,
    file,
    chunks: placedChunks(file, manifest),
  }));
  const bytesOnDisk = files.reduce((sum, { file }) => sum + file.size, 0);
  checkBudget(files, 0, into ?? 'the slice', budgetBytes ?? Infinity);
  if (into !== undefined) await checkSpace(into, bytesOnDisk);
  const totals = transferTotals(planChunks(files.flatMap(chunksAt), []).transfers);
  return {
    bytesNeeded: files.flatMap(({ chunks }) => chunks).reduce((sum, { length }) => sum + length, 0),
    bytesFetched: totals.bytes,
    bytesOnDisk,
    budgetNeeded: budgetNeeded(files),
    chunks: totals.chunks,
  };
}
