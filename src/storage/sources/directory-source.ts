import { checkRange } from '../../core/byte-range.js';
import type { Digest } from '../../core/digest.js';
import { CalyxError, fileError } from '../../core/errors.js';
import type { BufferPool } from '../buffer-pool.js';
import type { ByteSource, Lease, ReadOptions } from '../byte-source.js';
import { fillBuffer } from '../fill-buffer.js';
import { OpenFiles } from '../open-files.js';

/** Options of {@link DirectorySource}. */
export interface DirectorySourceOptions {
  /** Files kept open between reads. @default 256 */
  readonly openFiles?: number;
}

const DEFAULTS = { openFiles: 256 } as const;

/** Reads blobs from files of this machine, which stay open between reads. */
export class DirectorySource implements ByteSource {
  readonly name: string;
  readonly #locate: (blob: Digest) => string | undefined | Promise<string | undefined>;
  readonly #pool: BufferPool;
  readonly #files: OpenFiles<Digest>;

  /**
   * @param name names the source in errors
   * @param locate the path of a blob's file, or undefined
   * @param pool lends the buffers
   */
  constructor(
    name: string,
    locate: (blob: Digest) => string | undefined | Promise<string | undefined>,
    pool: BufferPool,
    options: DirectorySourceOptions = {},
  ) {
    this.name = name;
    this.#locate = locate;
    this.#pool = pool;
    this.#files = new OpenFiles(name, options.openFiles ?? DEFAULTS.openFiles);
  }

  async read(blob: Digest, offset: number, length: number, { signal }: ReadOptions = {}): Promise<Lease> {
    signal?.throwIfAborted();
    checkRange(offset, length);
    return this.#files.use(
      blob,
      () => this.#find(blob),
      async (handle, path) => {
        const lease = await this.#pool.take(length, signal);
        try {
          await fillBuffer(await handle, lease.buffer, offset, path);
          return lease;
        } catch (error) {
          lease.release();
          throw fileError(error, 'cannot read', path);
        }
      },
    );
  }

  close(): Promise<void> {
    return this.#files.close();
  }

  /** Forgets an open file, so that a removed blob's space becomes free and a replaced one is read anew. */
  forget(blob: Digest): Promise<void> {
    return this.#files.forget(blob);
  }

  async #find(blob: Digest): Promise<string> {
    const path = await this.#locate(blob);
    if (path === undefined) throw new CalyxError('not-found', `${this.name} does not have the blob ${blob}`);
    return path;
  }
}
