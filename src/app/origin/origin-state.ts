import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { writeFileAtomically } from '../../storage/files/durable.js';

const stateSchema = z.object({
  origin: z.string(),
  models: z.array(
    z.object({
      model: z.string(),
      state: z.enum(['found', 'preparing', 'shown', 'failed']),
      doneBytes: z.number().optional(),
      totalBytes: z.number().optional(),
      problem: z.string().optional(),
    }),
  ),
  problem: z.string().optional(),
});

/** How far a store is with the models of its bucket. */
export type OriginReport = z.infer<typeof stateSchema>;

type ModelState = OriginReport['models'][number];

/** Progress is written at most so often. */
const WRITE_EVERY_MS = 1_000;

/** What is told of the models of a bucket: in memory, and in a small file that `calyx list` reads. */
export class OriginState {
  readonly #path: string;
  readonly #origin: string;
  #models = new Map<string, ModelState>();
  #problem: string | undefined;
  #writtenAt = -Infinity;
  #writing: Promise<void> = Promise.resolve();

  /** @param path where it is kept */
  constructor(path: string, origin: string) {
    this.#path = path;
    this.#origin = origin;
  }

  get report(): OriginReport {
    const models = [...this.#models.values()];
    return {
      origin: this.#origin,
      models,
      ...(this.#problem !== undefined && { problem: this.#problem }),
    };
  }

  /** These are in the bucket, and no others. */
  listed(models: readonly string[]): void {
    this.#problem = undefined;
    this.#models = new Map(
      models.map((model) => [model, this.#models.get(model) ?? { model, state: 'found' }]),
    );
  }

  listingFailed(problem: string): void {
    this.#problem = problem;
    this.settle();
  }

  shown(model: string): void {
    this.#models.set(model, { model, state: 'shown' });
  }

  failed(model: string, problem: string): void {
    this.#models.set(model, { model, state: 'failed', problem });
  }

  preparing(model: string, doneBytes: number, totalBytes: number): void {
    this.#models.set(model, { model, state: 'preparing', doneBytes, totalBytes });
    if (performance.now() - this.#writtenAt > WRITE_EVERY_MS) this.settle();
  }

  /** Writes it down. A disk that does not take it costs only that `calyx list` does not know. */
  settle(): void {
    this.#writtenAt = performance.now();
    this.#writing = this.#writing
      .then(() => writeFileAtomically(this.#path, `${JSON.stringify(this.report)}\n`))
      .catch(() => undefined);
  }

  /** Resolves when the last word is written: nothing is being prepared any more. */
  async end(): Promise<void> {
    for (const { model, state } of this.#models.values())
      if (state === 'preparing') this.#models.set(model, { model, state: 'found' });
    if (this.#models.size > 0) this.settle();
    await this.#writing;
  }
}

/** What a store has last told of its bucket; undefined if there is nothing, or nothing that can be read. */
export async function readOriginReport(path: string): Promise<OriginReport | undefined> {
  try {
    return stateSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return undefined;
  }
}
