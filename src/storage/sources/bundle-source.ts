import { checkRange } from '../../core/byte-range.js';
import type { Digest } from '../../core/digest.js';
import { CalyxError, fileError, systemCode } from '../../core/errors.js';
import type { BufferPool } from '../buffer-pool.js';
import type { ByteSource, Lease, ReadOptions } from '../byte-source.js';
import { fillBuffer } from '../fill-buffer.js';
import { OpenFiles } from '../open-files.js';

/** Bytes of a blob that lie in one bundle, one after the other. */
export interface BundleRun {
  /** Of the blob. */
  readonly start: number;
  readonly end: number;
  readonly bundle: Digest;
  /** Where they begin in the bundle. */
  readonly offset: number;
}

/** The runs of a blob: ascending, without gaps, from its start to its end; undefined if it is not in bundles. */
export type RunsOf = (blob: Digest) => readonly BundleRun[] | undefined;

const OPEN_BUNDLES = 256;

/** Reads blobs whose chunks lie in bundles, files of this machine. */
export class BundleSource implements ByteSource {
  readonly name: string;
  readonly #runsOf: RunsOf;
  readonly #pathOf: (bundle: Digest) => string;
  readonly #pool: BufferPool;
  readonly #files: OpenFiles<Digest>;

  /** @param pathOf where a bundle lies */
  constructor(name: string, runsOf: RunsOf, pathOf: (bundle: Digest) => string, pool: BufferPool) {
    this.name = name;
    this.#runsOf = runsOf;
    this.#pathOf = pathOf;
    this.#pool = pool;
    this.#files = new OpenFiles(name, OPEN_BUNDLES);
  }

  async read(blob: Digest, offset: number, length: number, { signal }: ReadOptions = {}): Promise<Lease> {
    signal?.throwIfAborted();
    checkRange(offset, length);
    const lease = await this.#pool.take(length, signal);
    try {
      const runs = this.#runs(blob);
      await this.#fill(runs, lease.buffer, offset, blob).catch(async (error: unknown) => {
        // A bundle that was rewritten meanwhile: its chunks are in another one now.
        const now = this.#runsOf(blob);
        if (systemCode(error) !== 'ENOENT' || now === undefined || now === runs) throw error;
        await this.#fill(now, lease.buffer, offset, blob);
      });
      return lease;
    } catch (error) {
      lease.release();
      throw fileError(error, 'cannot read', `the blob ${blob} in the bundles of ${this.name}`);
    }
  }

  close(): Promise<void> {
    return this.#files.close();
  }

  /** Forgets an open bundle, so that the space of one that was removed becomes free. */
  forget(bundle: Digest): Promise<void> {
    return this.#files.forget(bundle);
  }

  #runs(blob: Digest): readonly BundleRun[] {
    const runs = this.#runsOf(blob);
    if (runs !== undefined) return runs;
    throw new CalyxError('not-found', `${this.name} does not have the blob ${blob}`);
  }

  async #fill(runs: readonly BundleRun[], buffer: Uint8Array, offset: number, blob: Digest): Promise<void> {
    const end = offset + buffer.byteLength;
    const size = runs.at(-1)?.end ?? 0;
    if (end > size) {
      throw new CalyxError(
        'corrupt',
        `the blob ${blob} ends at ${size}, but ${end - Math.max(offset, size)} more bytes were asked for`,
      );
    }
    for (let index = runAt(runs, offset); ; index += 1) {
      const run = runs[index];
      if (run === undefined || run.start >= end) return;
      const from = Math.max(run.start, offset);
      const target = buffer.subarray(from - offset, Math.min(run.end, end) - offset);
      await this.#files.use(
        run.bundle,
        () => this.#pathOf(run.bundle),
        async (handle, path) => fillBuffer(await handle, target, run.offset + from - run.start, path),
      );
    }
  }
}

/** The run that holds the byte at `position`. */
function runAt(runs: readonly BundleRun[], position: number): number {
  let low = 0;
  let high = runs.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((runs[middle]?.start ?? Infinity) <= position) low = middle;
    else high = middle - 1;
  }
  return low;
}
