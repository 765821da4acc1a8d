import { segmentLength } from '../file-tree.js';
import type { SliceDirectory } from './slice-directory.js';
import type { ChunkPlan, FilePlan } from './slice-plan.js';
import type { Target } from './transfer.js';

/** Counts what each file still lacks, and shows the files that lack nothing. Steps run one after the other. */
export class SliceProgress {
  readonly #directory: SliceDirectory;
  readonly #files = new Map<string, { plan: FilePlan; indexes: Map<number, number>; lacking: number }>();
  readonly #sync: boolean;
  #queue: Promise<void> = Promise.resolve();

  /** @param sync true if a file is to survive a power cut from the moment it is shown */
  constructor(directory: SliceDirectory, missing: readonly FilePlan[], plan: ChunkPlan, sync: boolean) {
    this.#directory = directory;
    this.#sync = sync;
    for (const file of missing) {
      const indexes = new Map(file.chunks.map((chunk, index) => [chunk.position, index]));
      this.#files.set(directory.partialName(file.name), { plan: file, indexes, lacking: 0 });
    }
    const targets = [
      ...plan.copies.map((copy) => copy.to),
      ...plan.transfers.flatMap(({ chunks }) => chunks.flatMap((chunk) => chunk.targets)),
    ];
    for (const { file } of targets) {
      const entry = this.#files.get(file);
      if (entry !== undefined) entry.lacking += 1;
    }
  }

  async finishReady(): Promise<void> {
    for (const { plan, lacking } of this.#files.values()) if (lacking === 0) await this.#finish(plan);
  }

  async arrived(targets: readonly Target[]): Promise<void> {
    const byFile = new Map<string, number[]>();
    for (const { file, position } of targets) {
      const index = this.#files.get(file)?.indexes.get(position);
      if (index === undefined) continue;
      const indexes = byFile.get(file);
      if (indexes === undefined) byFile.set(file, [index]);
      else indexes.push(index);
    }
    for (const [file, indexes] of byFile) {
      const entry = this.#files.get(file);
      if (entry === undefined) continue;
      await this.#directory.recordChunks(entry.plan.name, indexes);
      entry.lacking -= indexes.length;
      if (entry.lacking === 0) await this.#finish(entry.plan);
    }
  }

  enqueue(targets: readonly Target[]): void {
    this.#queue = this.#queue.then(() => this.arrived(targets));
    // Told by drain().
    this.#queue.catch(() => undefined);
  }

  drain(): Promise<void> {
    return this.#queue;
  }

  async #finish({ name, file }: FilePlan): Promise<void> {
    const literals: { position: number; bytes: Uint8Array }[] = [];
    let position = 0;
    for (const segment of file.segments) {
      if ('literal' in segment) literals.push({ position, bytes: segment.literal });
      position += segmentLength(segment);
    }
    await this.#directory.finishFile(name, literals, this.#sync);
  }
}
