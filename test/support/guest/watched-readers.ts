import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { vi } from 'vitest';
import type { Guest, JobEnded } from './guest.js';
import { pythonScript } from './mounted-store.js';

const MIB = 1024 * 1024;
const POLL_MS = 20;
/** Readers that do not move for so long are stuck. */
const DEADLINE_MS = 60_000;

/** A file to be read in a guest. */
export interface WatchedFile {
  readonly path: string;
  /** By read(), by read() past the page cache, or mapped. */
  readonly way: 'read' | 'direct' | 'mmap';
}

/** What a reader found. */
export interface WatchedResult {
  readonly bytes: number;
  readonly sha256: string;
}

let readings = 0;

/** Files of one size that are read in a guest at the same time, side by side, and can be watched while they are. */
export class WatchedReaders {
  readonly #progress: string;
  readonly #job: Promise<JobEnded>;
  #ended = false;

  constructor(guest: Guest, files: readonly WatchedFile[]) {
    this.#progress = join(guest.directory, `progress-${String((readings += 1))}`);
    const script = pythonScript(
      'watched_read.py',
      this.#progress,
      ...files.flatMap(({ way, path }) => [way, path]),
    );
    this.#job = guest.run(script, { timeoutMs: 2 * DEADLINE_MS });
    const onEnd = (): boolean => (this.#ended = true);
    this.#job.then(onEnd, onEnd);
  }

  /** Waits until every reader has read so many MiB more; all must still be at it then. */
  async advance(mib: number): Promise<void> {
    const { fastest } = await this.#positions();
    const enough = async (): Promise<boolean> => (await this.#positions()).slowest >= fastest + mib * MIB;
    await vi.waitUntil(async () => this.#ended || (await enough()), {
      timeout: DEADLINE_MS,
      interval: POLL_MS,
    });
    await this.#checkBusy();
  }

  /** Waits until none has moved for half a second. */
  async stall(): Promise<void> {
    let before = NaN;
    await vi.waitUntil(
      async () => {
        const { slowest } = await this.#positions();
        const stalled = slowest === before;
        before = slowest;
        return stalled;
      },
      { timeout: DEADLINE_MS, interval: 500 },
    );
    await this.#checkBusy();
  }

  /** What they found at the end; throws with what they said if one failed. */
  async results(): Promise<WatchedResult[]> {
    const ended = await this.#job;
    if (ended.code !== 0 || ended.stderr !== '') throw new Error(`a reader failed: ${JSON.stringify(ended)}`);
    return JSON.parse(ended.stdout) as WatchedResult[];
  }

  async #positions(): Promise<{ slowest: number; fastest: number }> {
    const text = await readFile(this.#progress, 'utf8').catch(() => '');
    const [slowest = 0, fastest = 0] = (text.split('\n').at(-2) ?? '0 0').split(' ').map(Number);
    return { slowest, fastest };
  }

  /** What happened to nobody would prove nothing. */
  async #checkBusy(): Promise<void> {
    if (this.#ended) throw new Error(`the readers had ended: ${JSON.stringify(await this.#job)}`);
  }
}
