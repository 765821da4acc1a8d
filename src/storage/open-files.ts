import { open, type FileHandle } from 'node:fs/promises';
import { CalyxError } from '../core/errors.js';

interface OpenFile {
  readonly path: string;
  readonly handle: Promise<FileHandle>;
  readers: number;
  evicted: boolean;
}

/** Files that stay open between reads, those that were used last. */
export class OpenFiles<Key> {
  readonly #name: string;
  readonly #limit: number;
  /** In order of last use. */
  readonly #files = new Map<Key, OpenFile>();
  #closed = false;

  /**
   * @param name whose files they are, for errors
   * @param limit how many stay open
   */
  constructor(name: string, limit: number) {
    this.#name = name;
    this.#limit = limit;
  }

  /**
   * Uses the file of `key`; if it is not open, the one that `locate` names.
   *
   * @throws CalyxError `unavailable` after {@link close}; the system's error if it cannot be opened; what `locate` and `use` throw
   */
  async use<T>(
    key: Key,
    locate: () => string | Promise<string>,
    use: (handle: Promise<FileHandle>, path: string) => Promise<T>,
  ): Promise<T> {
    const file = this.#take(key) ?? (await this.#open(key, locate));
    try {
      return await use(file.handle, file.path);
    } finally {
      file.readers -= 1;
      await closeIfUnused(file);
    }
  }

  /** Closes a file when its last reader is done, so that the space of one that was removed becomes free and a new one is found. */
  async forget(key: Key): Promise<void> {
    const file = this.#files.get(key);
    if (file !== undefined) await this.#evict(key, file);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const [key, file] of this.#files) await this.#evict(key, file);
  }

  /** The open file. It counts its new reader at once, so that it is not closed before that reader has begun. */
  #take(key: Key): OpenFile | undefined {
    const file = this.#files.get(key);
    if (file === undefined) return undefined;
    this.#files.delete(key);
    this.#files.set(key, file);
    file.readers += 1;
    return file;
  }

  async #open(key: Key, locate: () => string | Promise<string>): Promise<OpenFile> {
    const path = await locate();
    if (this.#closed) throw new CalyxError('unavailable', `${this.#name} is closed`);
    const known = this.#take(key);
    if (known !== undefined) return known;
    const file: OpenFile = { path, handle: open(path, 'r'), readers: 1, evicted: false };
    this.#files.set(key, file);
    file.handle.catch(() => {
      if (this.#files.get(key) === file) this.#files.delete(key);
    });
    if (this.#files.size > this.#limit) {
      const [oldest] = this.#files;
      if (oldest !== undefined) await this.#evict(...oldest);
    }
    return file;
  }

  async #evict(key: Key, file: OpenFile): Promise<void> {
    this.#files.delete(key);
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
