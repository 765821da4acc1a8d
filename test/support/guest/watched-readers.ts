import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { vi } from 'vitest';
import type { Guest, JobEnded } from './guest.js';
import { pythonScript } from './mounted-store.js';

const MIB = 1024 * 1024;
const POLL_MS = 20;
const DEADLINE_MS = 60_000;

/** What a reader found. */
export interface WatchedResult {
  readonly bytes: number;
  readonly sha256: string;
}

/** Readers in a guest, each of one file, whose progress can be seen while they read. */
export class WatchedReaders {
  readonly #guest: Guest;
  readonly #jobs: { readonly progress: string; readonly job: Promise<JobEnded>; ended: boolean }[] = [];

  /** Starts a reader for each path and way (`read`, `direct`, `mmap`); they ask for 1 MiB at a time. */
  constructor(guest: Guest, readers: readonly { readonly path: string; readonly way: string }[]) {
    this.#guest = guest;
    for (const { path, way } of readers) {
      const name = `progress-${way}-${path.replaceAll('/', '-')}`;
      const script = pythonScript('watched_read.py', path, way, join(guest.directory, name));
      const job = guest.run(script, { timeoutMs: 2 * DEADLINE_MS });
      const reader = { progress: name, job, ended: false };
      const onEnd = (): boolean => (reader.ended = true);
      job.then(onEnd, onEnd);
      this.#jobs.push(reader);
    }
  }

  /** Waits until each has read so many MiB more. All of them must still be at it then. */
  async advance(mib: number): Promise<void> {
    const before = await this.positions();
    await vi.waitUntil(
      async () => (await this.positions()).every((position, at) => position >= (before[at] ?? 0) + mib * MIB),
      { timeout: DEADLINE_MS, interval: POLL_MS },
    );
    this.checkBusy();
  }

  /** Waits until none has moved for half a second. */
  async stall(): Promise<void> {
    let before = '';
    await vi.waitUntil(
      async () => {
        const now = String(await this.positions());
        const stalled = now === before;
        before = now;
        return stalled;
      },
      { timeout: DEADLINE_MS, interval: 500 },
    );
    this.checkBusy();
  }

  /** Bytes that each has read so far. */
  positions(): Promise<number[]> {
    return Promise.all(
      this.#jobs.map(async ({ progress }) => {
        const text = await readFile(join(this.#guest.directory, progress), 'utf8').catch(() => '');
        return Number(text.split('\n').at(-2) ?? 0);
      }),
    );
  }

  /** Throws if one has ended: then what happens now happens to nobody. */
  checkBusy(): void {
    if (this.#jobs.some(({ ended }) => ended)) throw new Error('a reader ended before what it was to go through');
  }

  /** Waits for all; throws with what it said if one failed. */
  results(): Promise<WatchedResult[]> {
    return Promise.all(
      this.#jobs.map(async ({ job }) => {
        const ended = await job;
        if (ended.code !== 0 || ended.stderr !== '') throw new Error(`a reader failed: ${JSON.stringify(ended)}`);
        return JSON.parse(ended.stdout) as WatchedResult;
      }),
    );
  }
}
