import { open, type FileHandle } from 'node:fs/promises';
import { checkRange } from '../../core/byte-range.js';
import type { Digest } from '../../core/digest.js';
import { CalyxError, fileError } from '../../core/errors.js';
import type { BufferPool } from '../buffer-pool.js';
import type { ByteSource, Lease, ReadOptions } from '../byte-source.js';

/** Options of {@link DirectorySource}. */
export interface DirectorySourceOptions {
  /** Files kept open between reads. @default 256 */
  readonly openFiles?: number;
}

const DEFAULTS = { openFiles: 256 } as const;

interface OpenFile {
  readonly path: string;
  readonly handle: Promise<FileHandle>;
  readers: number;
  evicted: boolean;
}

/** Reads blobs from files of this machine, which stay open between reads. */
export class DirectorySource implements ByteSource {
  readonly name: string;
  readonly #locate: (blob: Digest) => string | undefined | Promise<string | undefined>;
  readonly #pool: BufferPool;
  readonly #openFiles: number;
  /** In order of last use. */
  readonly #files = new Map<Digest, OpenFile>();
  #closed = false;

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
    this.#openFiles = options.openFiles ?? DEFAULTS.openFiles;
  }

  async read(blob: Digest, offset: number, length: number, { signal }: ReadOptions = {}): Promise<Lease> {
    signal?.throwIfAborted();
    checkRange(offset, length);
    const file = this.#use(blob) ?? (await this.#open(blob));
    try {
      const lease = await this.#pool.take(length, signal);
      try {
        await fill(await file.handle, lease.buffer, offset, file.path);
        return lease;
      } catch (error) {
        lease.release();
        throw fileError(error, 'cannot read', file.path);
      }
    } finally {
      file.readers -= 1;
      await closeIfUnused(file);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const [blob, file] of this.#files) await this.#evict(blob, file);
  }

  /** Forgets an open file, so that a removed blob's space becomes free and a replaced one is read anew. */
  async forget(blob: Digest): Promise<void> {
    const file = this.#files.get(blob);
    if (file !== undefined) await this.#evict(blob, file);
  }

  /** The open file of a blob. It counts its new reader at once, so that it is not closed before that reader has begun. */
  #use(blob: Digest): OpenFile | undefined {
    const file = this.#files.get(blob);
    if (file === undefined) return undefined;
    this.#files.delete(blob);
    this.#files.set(blob, file);
    file.readers += 1;
    return file;
  }

  async #open(blob: Digest): Promise<OpenFile> {
    const path = await this.#locate(blob);
    if (this.#closed) throw new CalyxError('unavailable', `${this.name} is closed`);
    if (path === undefined) throw new CalyxError('not-found', `${this.name} does not have the blob ${blob}`);
    const known = this.#use(blob);
    if (known !== undefined) return known;
    const file: OpenFile = { path, handle: open(path, 'r'), readers: 1, evicted: false };
    this.#files.set(blob, file);
    file.handle.catch(() => {
      if (this.#files.get(blob) === file) this.#files.delete(blob);
    });
    if (this.#files.size > this.#openFiles) {
      const [oldest] = this.#files;
      if (oldest !== undefined) await this.#evict(...oldest);
    }
    return file;
  }

  async #evict(blob: Digest, file: OpenFile): Promise<void> {
    this.#files.delete(blob);
    file.evicted = true;
    await closeIfUnused(file);
  }
}

async function closeIfUnused(file: OpenFile): Promise<void> {
  if (!file.evicted || file.readers > 0) return;
  // An open that failed was reported to its reader; there is nothing to close.
  const handle = await file.handle.catch(() => undefined);
  await handle?.close().catch(() => undefined);
}

async function fill(handle: FileHandle, buffer: Uint8Array, offset: number, path: string): Promise<void> {
  for (let done = 0; done < buffer.byteLength;) {
    const { bytesRead } = await handle.read(buffer, done, buffer.byteLength - done, offset + done);
    if (bytesRead === 0) {
      throw new CalyxError(
        'corrupt',
        `${path} ends at ${offset + done}, but ${buffer.byteLength - done} more bytes were asked for`,
        {
          hint: "the file was cut off or the request is wrong; 'calyx verify' tells",
        },
      );
    }
    done += bytesRead;
  }
}
