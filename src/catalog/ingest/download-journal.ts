import { randomUUID } from 'node:crypto';
import { open, readFile, type FileHandle } from 'node:fs/promises';
import { z } from 'zod';
import { fileError, systemCode } from '../../core/errors.js';
import type { RemoteFile } from '../../storage/remote/remote-model.js';

const lineSchema = z.union([
  z.strictObject({ boot: z.string() }),
  z.strictObject({ path: z.string(), key: z.string(), offset: z.number(), length: z.number() }),
  z.strictObject({ path: z.string(), key: z.string(), whole: z.literal(true) }),
  z.strictObject({ path: z.string(), dropped: z.literal(true) }),
]);

interface Entry {
  readonly key: string;
  /** Offset -> length. */
  readonly ranges: Map<number, number>;
  whole: boolean;
}

/**
 * Remembers which ranges of which files have arrived. A line is appended after its bytes were written, and not synced: ranges count only
 * within the boot of the machine that wrote them, whole files, whose lines follow a sync, for ever. A line cut off by a kill is passed over.
 */
export class DownloadJournal {
  /** Undefined for one that is only read. */
  readonly #file: FileHandle | undefined;
  readonly #entries: Map<string, Entry>;

  private constructor(file: FileHandle | undefined, entries: Map<string, Entry>) {
    this.#file = file;
    this.#entries = entries;
  }

  /** @param boot names this boot of the machine. Rejects with CalyxError `unreadable`, `disk-full`. */
  static async open(path: string, boot: string): Promise<DownloadJournal> {
    const before = await DownloadJournal.read(path, boot);
    try {
      const file = await open(path, 'a');
      // The first line break ends a line that was cut off.
      await file.appendFile(`\n${JSON.stringify({ boot })}\n`);
      return new DownloadJournal(file, before.#entries);
    } catch (error) {
      throw fileError(error, 'cannot write', path);
    }
  }

  /** As {@link DownloadJournal.open}, only to look. */
  static async read(path: string, boot: string): Promise<DownloadJournal> {
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      if (systemCode(error) === 'ENOENT') return '';
      throw fileError(error, 'cannot read', path);
    });
    return new DownloadJournal(undefined, readLines(text, boot));
  }

  /** True if this range of the very content has arrived. */
  has(file: RemoteFile, offset: number, length: number): boolean {
    return this.#entry(file)?.ranges.get(offset) === length;
  }

  /** True if the whole of the very content has arrived and was verified. */
  isWhole(file: RemoteFile): boolean {
    return this.#entry(file)?.whole === true;
  }

  /** What is kept of a path is of another content than this, or there is nothing. */
  isStale(file: RemoteFile): boolean {
    return this.#entry(file) === undefined;
  }

  async addRange(file: RemoteFile, offset: number, length: number): Promise<void> {
    this.#touch(file).ranges.set(offset, length);
    await this.#append({ path: file.path, key: keyOf(file), offset, length });
  }

  async addWhole(file: RemoteFile): Promise<void> {
    this.#touch(file).whole = true;
    await this.#append({ path: file.path, key: keyOf(file), whole: true });
    await this.#file?.datasync();
  }

  /** Forgets a file, before its bytes are removed. */
  async drop(path: string): Promise<void> {
    this.#entries.delete(path);
    await this.#append({ path, dropped: true });
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }

  #entry(file: RemoteFile): Entry | undefined {
    const entry = this.#entries.get(file.path);
    return entry?.key === keyOf(file) ? entry : undefined;
  }

  #touch(file: RemoteFile): Entry {
    const entry = this.#entry(file) ?? { key: keyOf(file), ranges: new Map<number, number>(), whole: false };
    this.#entries.set(file.path, entry);
    return entry;
  }

  async #append(line: z.infer<typeof lineSchema>): Promise<void> {
    try {
      await this.#file?.appendFile(`${JSON.stringify(line)}\n`);
    } catch (error) {
      throw fileError(error, 'cannot write', 'the journal of the download');
    }
  }
}

/** For a file of which nothing is known but its size: what arrived in this run counts, and nothing of others. */
const THIS_RUN = randomUUID();

/** Tells contents apart: by a digest if there is one. */
function keyOf({ size, sha256, gitBlob, version }: RemoteFile): string {
  return `${size} ${sha256 ?? gitBlob ?? version ?? THIS_RUN}`;
}

function readLines(text: string, boot: string): Map<string, Entry> {
  const entries = new Map<string, Entry>();
  let sameBoot = false;
  for (const line of text.split('\n')) {
    const parsed = lineSchema.safeParse(parseLine(line));
    if (!parsed.success) continue;
    const { data } = parsed;
    if ('boot' in data) {
      sameBoot = data.boot === boot;
      continue;
    }
    if ('dropped' in data) {
      entries.delete(data.path);
      continue;
    }
    if (!('whole' in data) && !sameBoot) continue;
    let entry = entries.get(data.path);
    if (entry?.key !== data.key) entry = { key: data.key, ranges: new Map(), whole: false };
    entries.set(data.path, entry);
    if ('whole' in data) entry.whole = true;
    else entry.ranges.set(data.offset, data.length);
  }
  return entries;
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
