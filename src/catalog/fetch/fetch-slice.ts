import { CalyxError, fileError, isCalyxError } from '../../core/errors.js';
import { formatModelName } from '../../core/names.js';
import { acquireOwnership } from '../../storage/files/ownership.js';
import { INDEX_FILE } from '../../weights/model-directory.js';
import { partFile, type PartId } from '../../weights/parts.js';
import type { TreeFile } from '../file-tree.js';
import { checkParts, sortParts } from '../slice-spec.js';
import { SLICE_FILE, sliceFiles, type Revision } from '../slice.js';
import type { TransferRunner } from './run-transfers.js';
import { budgetNeeded, checkBudget } from './slice-budget.js';
import { SliceDirectory } from './slice-directory.js';
import { copyChunk } from './copy-chunk.js';
import { checkSpace } from './disk-space.js';
import { SliceProgress } from './slice-progress.js';
import {
  chunksAt,
  placedChunks,
  planChunks,
  type ChunkAt,
  type ChunkPlan,
  type FilePlan,
} from './slice-plan.js';
import { transferBytes, transferTotals } from './transfer.js';

/** Options of {@link fetchSlice}. */
export interface FetchOptions {
  readonly revision: Revision;
  readonly into: string;
  /** Parts to be there afterwards, besides those that are. */
  readonly add: readonly PartId[];
  /** Parts to be removed. */
  readonly drop?: readonly PartId[];
  /** Bytes that the directory may have afterwards and meanwhile. @default no bound */
  readonly budgetBytes?: number;
  /**
   * Syncs each part before it is shown. Without it, a part may read as zeros after a power cut until the next fetch, which does
   * not trust what an earlier boot left unsynced. @default false
   */
  readonly sync?: boolean;
  /** Only says what would be done. @default false */
  readonly dryRun?: boolean;
  /** Makes the runner, once there is something to fetch. */
  readonly createRunner: () => TransferRunner;
  readonly signal: AbortSignal;
  /** Called once the amount of work is known. */
  readonly onTotal?: (bytes: number) => void;
  readonly onBytes?: (bytes: number) => void;
}

/** What a fetch did, or would do. */
export interface FetchResult {
  /** Blob bytes that the asked-for parts and the files beside them consist of. */
  readonly bytesNeeded: number;
  /** Blob bytes that came over the network now; in a dry run: that would come. */
  readonly bytesFetched: number;
  /** Bytes of all files of the slice, when done. */
  readonly bytesOnDisk: number;
  /** The smallest budget with which it may be done, in bytes: a little more than `bytesOnDisk`, for records and directories. */
  readonly budgetNeeded: number;
  /** Chunks that were fetched and verified; in a dry run: that would be. */
  readonly chunks: number;
  readonly retries: number;
  /** The parts that the directory holds, when done. */
  readonly parts: readonly PartId[];
  /** Of a dry run: why the disk could not take it now. */
  readonly problem?: string;
}

/**
 * Writes a slice to a disk: exactly the files of the view `slices/`. Of a directory that is a slice of another revision of the same
 * model, what both have stays. Each chunk is verified on entry; a file appears under its
 * name when it is whole. Killed at any point, the next call goes on without moving verified bytes again.
 *
 * @throws CalyxError `over-budget`, or unless it is a dry run `disk-full`, before the first byte; `exists` if the directory holds something else, `corrupt`
 * naming file, tensor and source, `unavailable`, `timeout`
 */
export async function fetchSlice(options: FetchOptions): Promise<FetchResult> {
  const { revision, into, dryRun = false } = options;
  checkParts([...options.add, ...(options.drop ?? [])], revision.manifest.blockCount);
  const open = (): Promise<SliceDirectory> =>
    SliceDirectory.open(into, formatModelName(revision.model), revision.revision);
  // Refuses what does not fit before anything is made, the directory included.
  const planned = await new Fetch(options, await open()).plan();
  if (dryRun) return planned;
  const ownership = await acquireOwnership(SliceDirectory.owners(into), {
    description: `calyx fetch (process ${process.pid})`,
  }).catch((error: unknown) => {
    throw fileError(error, 'cannot use', into);
  });
  try {
    // Opened again: until it was ours, others may have changed it.
    return await new Fetch(options, await open()).run();
  } finally {
    await ownership.release();
  }
}

class Fetch {
  readonly #options: FetchOptions;
  readonly #directory: SliceDirectory;

  constructor(options: FetchOptions, directory: SliceDirectory) {
    this.#options = options;
    this.#directory = directory;
  }

  /** What a run would do. Looks at the disk, changes nothing. */
  async plan(): Promise<FetchResult> {
    const { wanted, files, missing } = await this.#compare();
    // Who plans wants to know what it takes also where there is no room for it.
    const problem = await this.#checkRoom(files, missing).then(
      () => undefined,
      (error: unknown) => {
        if (this.#options.dryRun === true && isCalyxError(error, 'disk-full')) return error.message;
        throw error;
      },
    );
    const absent: ChunkAt[] = [];
    const present: ChunkAt[] = [...chunksOf(files.filter((file) => !missing.includes(file)))];
    for (const plan of missing) {
      const expected = new Set(await this.#expectedChunks(plan));
      chunksAt(plan).forEach((chunk, index) => (expected.has(index) ? present : absent).push(chunk));
    }
    const { bytes, chunks } = transferTotals(planChunks(absent, present).transfers);
    return {
      bytesNeeded: this.#bytesNeeded(),
      bytesFetched: bytes,
      bytesOnDisk: bytesOf(files),
      budgetNeeded: budgetNeeded(files, await this.#formerBytes(missing)),
      chunks,
      retries: 0,
      parts: wanted,
      ...(problem !== undefined && { problem }),
    };
  }

  async run(): Promise<FetchResult> {
    const { wanted, files, missing } = await this.#compare();
    const formerBytes = await this.#checkRoom(files, missing);
    const literal = files.filter(({ chunks }) => chunks.length === 0);
    await this.#directory.saveVerified();
    await this.#drop(files, missing);
    const plan = await this.#begin(files, missing);
    const { bytes, chunks } = transferTotals(plan.transfers);
    this.#options.onTotal?.(bytes);
    const { retries, bytesReceived } = await this.#bringIn(plan, missing);
    for (const { name, file } of literal) await this.#directory.writeSmall(name, literalBytes(file));
    await this.#directory.saveVerified();
    return {
      bytesNeeded: this.#bytesNeeded(),
      bytesFetched: bytesReceived,
      bytesOnDisk: bytesOf(files),
      budgetNeeded: budgetNeeded(files, formerBytes),
      chunks,
      retries,
      parts: wanted,
    };
  }

  /** What the directory should hold, and which of it has to be brought in. */
  async #compare(): Promise<{ wanted: PartId[]; files: FilePlan[]; missing: FilePlan[] }> {
    const { revision, add, drop = [] } = this.#options;
    const known = (await this.#directory.parts(revision.manifest.format)).filter(
      (part) => typeof part !== 'number' || part < revision.manifest.blockCount,
    );
    const wanted = sortParts([...known.filter((part) => !drop.includes(part)), ...add]);
    const files = [...sliceFiles(revision, wanted)].map(([name, file]) => ({
      name,
      file,
      chunks: placedChunks(file, revision.manifest),
    }));
    const missing: FilePlan[] = [];
    for (const plan of files) {
      if (plan.chunks.length > 0 && !(await this.#directory.isVerified(plan.name, plan.file.size)))
        missing.push(plan);
    }
    return { wanted, files, missing };
  }

  /** Returns the bytes of the largest file of a former revision, which is there beside its successor for a while. */
  async #checkRoom(files: readonly FilePlan[], missing: readonly FilePlan[]): Promise<number> {
    const { budgetBytes = Infinity, into } = this.#options;
    const formerBytes = await this.#formerBytes(missing);
    checkBudget(files, formerBytes, into, budgetBytes);
    let needed = formerBytes;
    for (const { name, file } of missing)
      needed += Math.max(0, file.size - (await this.#directory.allocatedBytes(name)));
    await checkSpace(into, needed);
    return formerBytes;
  }

  async #formerBytes(missing: readonly FilePlan[]): Promise<number> {
    let most = 0;
    for (const { name } of missing)
      if (this.#directory.isFormer(name)) most = Math.max(most, await this.#directory.allocatedBytes(name));
    return most;
  }

  /** What of a file need not come: of one of a former revision only a look at its bytes tells, which a mere plan is worth. */
  async #expectedChunks({ name, chunks }: FilePlan): Promise<Iterable<number>> {
    const { dryRun = false, signal } = this.#options;
    if (dryRun && this.#directory.isFormer(name) && (await this.#directory.isShown(name)))
      return this.#directory.goodChunks(name, chunks, signal);
    return this.#directory.expectedChunks(name, chunks.length);
  }

  /** Files leave the index first, so that it never lists what is not there: those to be dropped, and those not trusted. */
  async #drop(files: readonly FilePlan[], missing: readonly FilePlan[]): Promise<void> {
    const { drop = [], revision } = this.#options;
    const expected = new Set(files.map(({ name }) => name));
    const untrusted = new Set(missing.map(({ name }) => name));
    const { format } = revision.manifest;
    const nameOf = (part: PartId): string => partFile(part, format);
    const present = await this.#directory.parts(format);
    const dropped = present.filter((part) => drop.includes(part) && !expected.has(nameOf(part)));
    const staying = present.filter(
      (part) =>
        !dropped.includes(part) &&
        !untrusted.has(nameOf(part)) &&
        (typeof part !== 'number' || part < revision.manifest.blockCount),
    );
    if (staying.length < present.length && (await this.#isDescribed())) {
      for (const [name, file] of sliceFiles(revision, staying)) {
        if (file.segments.every((segment) => 'literal' in segment))
          await this.#directory.writeSmall(name, literalBytes(file));
      }
    }
    const gone = [...dropped.map(nameOf), ...this.#directory.formerBut(expected)];
    await this.#directory.removeFiles(gone, expected);
  }

  /** True if a file says which parts are there. */
  async #isDescribed(): Promise<boolean> {
    return (await this.#directory.isShown(INDEX_FILE)) || (await this.#directory.isShown(SLICE_FILE));
  }

  /** Prepares the files that are to be completed, and finds out which of their chunks are there. */
  async #begin(files: readonly FilePlan[], missing: readonly FilePlan[]): Promise<ChunkPlan> {
    const absent: ChunkAt[] = [];
    const present: ChunkAt[] = [...chunksOf(files.filter((file) => !missing.includes(file)))];
    for (const plan of missing) {
      this.#options.signal.throwIfAborted();
      const good = await this.#directory.beginFile(
        plan.name,
        plan.file.size,
        plan.chunks,
        this.#options.signal,
      );
      const file = this.#directory.partialName(plan.name);
      plan.chunks.forEach((chunk, index) => (good.has(index) ? present : absent).push({ ...chunk, file }));
    }
    return planChunks(absent, present);
  }

  async #bringIn(
    plan: ChunkPlan,
    missing: readonly FilePlan[],
  ): Promise<Pick<TransferRunner, 'retries' | 'bytesReceived'>> {
    const progress = new SliceProgress(this.#directory, missing, plan, this.#options.sync ?? false);
    // All copies come first: finishing a file takes it away from under the name that others are copied from.
    for (const copy of plan.copies) {
      this.#options.signal.throwIfAborted();
      await copyChunk(this.#options.into, copy);
    }
    await progress.finishReady();
    await progress.arrived(plan.copies.map((copy) => copy.to));
    if (plan.transfers.length === 0) return { retries: 0, bytesReceived: 0 };
    const runner = this.#options.createRunner();
    const { onBytes, signal } = this.#options;
    const failures: unknown[] = [];
    const end = async (step: () => Promise<void>): Promise<void> => {
      await step().catch((error: unknown) => failures.push(error));
    };
    await end(() =>
      runner.run(
        plan.transfers,
        (index) => {
          const transfer = plan.transfers[index];
          if (transfer === undefined) return;
          onBytes?.(transferBytes(transfer));
          progress.enqueue(transfer.chunks.flatMap(({ targets }) => targets));
        },
        signal,
      ),
    );
    // What came in counts, also after a failure; the first failure is told.
    await end(() => progress.drain());
    await end(() => this.#directory.saveVerified());
    await end(() => runner.close());
    if (failures.length > 0) throw this.#nameTensor(failures[0]);
    return runner;
  }

  #bytesNeeded(): number {
    const { revision, add } = this.#options;
    const files = [...sliceFiles(revision, add).values()];
    return files.reduce(
      (sum, { segments }) =>
        sum + segments.reduce((bytes, segment) => bytes + ('blob' in segment ? segment.length : 0), 0),
      0,
    );
  }

  /** A wrong chunk is told by file and tensor, not only by its digest. */
  #nameTensor(error: unknown): unknown {
    if (!isCalyxError(error)) return error;
    const match = /(\d+) at (\d+) of the blob ([0-9a-f]{64})/.exec(error.message);
    const file = match?.[3] === undefined ? undefined : this.#options.revision.manifest.fileOfBlob(match[3]);
    if (file === undefined) return error;
    const at = Number(match?.[2]);
    const tensor = file.tensors.find(({ offset, length }) => at >= offset && at < offset + length);
    const what = tensor === undefined ? file.path : `${file.path}, tensor ${tensor.name}`;
    return new CalyxError(error.code, `${what}: ${error.message}`, {
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      cause: error,
    });
  }
}

function* chunksOf(files: readonly FilePlan[]): Generator<ChunkAt> {
  for (const file of files) yield* chunksAt(file);
}

function bytesOf(files: readonly FilePlan[]): number {
  return files.reduce((sum, { file }) => sum + file.size, 0);
}

function literalBytes(file: TreeFile): Uint8Array {
  return Buffer.concat(
    file.segments.map((segment) => ('literal' in segment ? segment.literal : new Uint8Array())),
  );
}
