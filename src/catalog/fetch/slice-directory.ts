import { appendFile, mkdir, readFile, readdir, rename, rm, stat, writeFile, type FileHandle } from 'node:fs/promises'; // prettier-ignore
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { sha256 } from '../../core/digest.js';
import { fileError } from '../../core/errors.js';
import { parseFilePath } from '../../core/names.js';
import { bootId, writeFileAtomically } from '../../storage/files/durable.js';
import { partFile, partOfFile, type PartId, type WeightFormat } from '../../weights/parts.js';
import { identify } from '../ingest/scan.js';
import { sizeOf } from '../../storage/files/size-of.js';
import type { PlacedChunk } from './slice-plan.js';
import { checkSliceContent, LEFTOVER, OWN, readJson } from './slice-content.js';
import { openOwn } from './open-own.js';
import { writeFully } from './write-fully.js';

const FORMATS: readonly WeightFormat[] = ['safetensors', 'gguf'];

/**
 * Of what the directory is a slice, and which files were verified, and in which boot; files that changed since, or were not synced
 * before a power cut, are not trusted.
 */
const verifiedSchema = z.object({
  model: z.string(),
  revision: z.string(),
  files: z.record(
    z.string(),
    z.object({ bootId: z.string(), size: z.number(), inode: z.string(), mtimeNs: z.string() }),
  ),
  /** Files that are still those of the revision of which it was a slice before. */
  former: z.array(z.string()).optional(),
});

const VERIFIED = join(OWN, 'verified.json');
const PARTIAL = join(OWN, 'partial');

const OWNERS = join(OWN, 'owners');

/** In place of a boot: the file was synced, so it is trusted in every one. */
const SYNCED = 'synced';

/** A slice's directory on this machine's disk: what is whole in it, and what is under way. */
export class SliceDirectory {
  readonly path: string;
  readonly #of: { readonly model: string; readonly revision: string };
  #verified: z.infer<typeof verifiedSchema>['files'] = {};
  readonly #former = new Set<string>();
  #bootId = '';

  private constructor(path: string, model: string, revision: string) {
    this.path = path;
    this.#of = { model, revision };
  }

  /** Where its owner's socket lies. */
  static owners(path: string): string {
    return join(path, OWNERS);
  }

  /**
   * Looks at a directory, which need not exist yet.
   *
   * @throws CalyxError `exists` if it holds something that is not a slice of this model
   */
  static async open(path: string, model: string, revision: string): Promise<SliceDirectory> {
    const directory = new SliceDirectory(path, model, revision);
    let record: z.infer<typeof verifiedSchema> | undefined;
    const now = await checkSliceContent(path, { model, revision }, async () => {
      record = verifiedSchema.safeParse(await readJson(join(path, VERIFIED))).data;
      return record;
    });
    if (now === undefined || now.revision === revision) {
      directory.#verified = record?.files ?? {};
      for (const name of record?.former ?? []) directory.#former.add(name);
    } else {
      // It may have been one of the other format.
      const parts = await Promise.all(
        FORMATS.map(async (format) => (await directory.parts(format)).map((part) => partFile(part, format))),
      );
      for (const name of [...Object.keys(record?.files ?? {}), ...parts.flat()]) directory.#former.add(name);
    }
    directory.#bootId = await bootId();
    return directory;
  }

  /** The parts whose files are there, whole or not trusted alike. */
  async parts(format: WeightFormat): Promise<PartId[]> {
    const names = await readdir(this.path).catch(() => [] as string[]);
    return names.flatMap((name) => partOfFile(name, format) ?? []);
  }

  /** True if a file is there under its name, whole or not. */
  async isShown(name: string): Promise<boolean> {
    return (await sizeOf(join(this.path, name))) !== undefined;
  }

  /** True if a file is there that is still that of another revision. */
  isFormer(name: string): boolean {
    return this.#former.has(name);
  }

  /** Files that the slice had as one of another revision, and has no more. */
  formerBut(expected: ReadonlySet<string>): string[] {
    return [...this.#former].filter((name) => !expected.has(name) && isInside(name));
  }

  /** Bytes that the disk has already given to a file, shown or under way. */
  async allocatedBytes(name: string): Promise<number> {
    for (const path of [name, this.partialName(name)]) {
      const info = await stat(join(this.path, path)).catch(() => undefined);
      if (info !== undefined) return info.blocks * 512;
    }
    return 0;
  }

  /** The chunks, by their index, that are expected to be in already; they are verified before they are trusted. */
  async expectedChunks(name: string, count: number): Promise<readonly number[]> {
    return (await this.isShown(name))
      ? Array.from({ length: count }, (_, index) => index)
      : this.#readJournal(name, count);
  }

  /** True if a file is whole, verified and unchanged since. */
  async isVerified(name: string, size: number): Promise<boolean> {
    const known = Object.hasOwn(this.#verified, name) ? this.#verified[name] : undefined;
    if (known === undefined || known.size !== size) return false;
    if (known.bootId !== this.#bootId && known.bootId !== SYNCED) return false;
    const now = await identify(join(this.path, name)).catch(() => undefined);
    return (
      now !== undefined && now.size === size && now.inode === known.inode && now.mtimeNs === known.mtimeNs
    );
  }

  /**
   * Prepares a file to be completed under a name that no loader sees. What an earlier run brought in is kept.
   *
   * @returns the chunks that are there and were verified again just now, by their index in `chunks`
   */
  async beginFile(
    name: string,
    size: number,
    chunks: readonly PlacedChunk[],
    signal: AbortSignal,
  ): Promise<Set<number>> {
    const partial = join(this.path, this.partialName(name));
    try {
      await mkdir(dirname(partial), { recursive: true });
      const expected = await this.expectedChunks(name, chunks.length);
      if (this.#former.has(name) && (await this.isShown(name)))
        return await this.#beginFromFormer(name, size, chunks, signal);
      if (await this.isShown(name)) {
        // Out of sight, so that its wrong chunks are not read; the journal comes first, so that its good ones need not come again.
        await this.#writeJournal(name, expected);
        await rename(join(this.path, name), partial);
      }
      const file = await openOwn(partial, true);
      try {
        await file.truncate(size);
        const good = new Set<number>();
        for (const index of expected) {
          const chunk = chunks[index];
          if (chunk === undefined) continue;
          signal.throwIfAborted();
          const bytes = Buffer.allocUnsafe(chunk.length);
          const { bytesRead } = await file.read(bytes, 0, chunk.length, chunk.position);
          if (bytesRead === chunk.length && sha256(bytes) === chunk.digest) good.add(index);
        }
        await this.#writeJournal(name, [...good]);
        return good;
      } finally {
        await file.close();
      }
    } catch (error) {
      signal.throwIfAborted();
      throw fileError(error, 'cannot prepare', partial);
    }
  }

  /** The chunks of a file that is there, by their index, that are what they should be. */
  async goodChunks(name: string, chunks: readonly PlacedChunk[], signal: AbortSignal): Promise<Set<number>> {
    const good = new Set<number>();
    const file = await openOwn(join(this.path, name));
    try {
      await eachGoodChunk(file, chunks, signal, (index) => good.add(index));
    } finally {
      await file.close();
    }
    return good;
  }

  /**
   * Takes the chunks that both revisions have from the former file into a new one. Whoever runs from the former one, and has it open,
   * keeps it as it was.
   */
  async #beginFromFormer(
    name: string,
    size: number,
    chunks: readonly PlacedChunk[],
    signal: AbortSignal,
  ): Promise<Set<number>> {
    const good = new Set<number>();
    await this.#writeJournal(name, []);
    const partial = join(this.path, this.partialName(name));
    await rm(partial, { force: true });
    const former = await openOwn(join(this.path, name));
    try {
      const file = await openOwn(partial, true);
      try {
        await file.truncate(size);
        await eachGoodChunk(former, chunks, signal, async (index, bytes, { position }) => {
          await writeFully(file, bytes, position);
          good.add(index);
        });
      } finally {
        await file.close();
      }
    } finally {
      await former.close();
    }
    await this.#writeJournal(name, [...good]);
    await rm(join(this.path, name));
    this.#former.delete(name);
    return good;
  }

  /** Remembers that chunks of a file under way are in. */
  async recordChunks(name: string, indexes: readonly number[]): Promise<void> {
    if (indexes.length === 0) return;
    const journal = this.#journal(name);
    await appendFile(journal, Buffer.from(Uint32Array.from(indexes).buffer)).catch((error: unknown) => {
      throw fileError(error, 'cannot write', journal);
    });
  }

  /**
   * Writes the literal bytes of a file whose chunks are all in, and shows it under its own name; with `sync` not before it would
   * survive a power cut.
   */
  async finishFile(
    name: string,
    literals: readonly { readonly position: number; readonly bytes: Uint8Array }[],
    sync = false,
  ): Promise<void> {
    const partial = join(this.path, this.partialName(name));
    try {
      const file = await openOwn(partial);
      try {
        for (const { position, bytes } of literals) await writeFully(file, bytes, position);
        if (sync) await file.datasync();
      } finally {
        await file.close();
      }
      await mkdir(dirname(join(this.path, name)), { recursive: true });
      await rename(partial, join(this.path, name));
      await rm(this.#journal(name), { force: true });
      this.#former.delete(name);
      this.#verified[name] = {
        bootId: sync ? SYNCED : this.#bootId,
        ...(await identify(join(this.path, name))),
      };
    } catch (error) {
      throw fileError(error, 'cannot complete', join(this.path, name));
    }
  }

  /** Writes a small file whole or not at all. */
  async writeSmall(name: string, content: Uint8Array): Promise<void> {
    try {
      await writeFileAtomically(join(this.path, name), content);
    } catch (error) {
      throw fileError(error, 'cannot write', join(this.path, name));
    }
  }

  /** Removes files, what is under way for files other than `expected`, and what killed writes left. */
  async removeFiles(names: readonly string[], expected: ReadonlySet<string>): Promise<void> {
    for (const name of names) {
      await rm(join(this.path, name), { force: true });
      this.#former.delete(name);
      this.#verified = Object.fromEntries(Object.entries(this.#verified).filter(([known]) => known !== name));
    }
    for (const folder of ['', OWN]) {
      for (const entry of await readdir(join(this.path, folder))) {
        const name = LEFTOVER.exec(join(folder, entry))?.[1];
        if (name === VERIFIED || (name !== undefined && expected.has(name)))
          await rm(join(this.path, folder, entry), { force: true });
      }
    }
    for (const entry of await readdir(join(this.path, PARTIAL)).catch(() => [] as string[])) {
      const name = entry.replace(/\.journal(?:\.new)?$/, '').replaceAll('%2F', '/');
      if (!expected.has(name)) await rm(join(this.path, PARTIAL, entry), { force: true });
    }
  }

  /** Writes down what is verified. */
  async saveVerified(): Promise<void> {
    const former = this.#former.size === 0 ? {} : { former: [...this.#former] };
    const record = { ...this.#of, files: this.#verified, ...former };
    await this.writeSmall(VERIFIED, Buffer.from(JSON.stringify(record)));
    if ((await readdir(join(this.path, PARTIAL)).catch(() => ['?'])).length === 0) {
      await rm(join(this.path, PARTIAL), { recursive: true, force: true });
    }
  }

  /** Where a file grows until it is whole, relative to the directory. */
  partialName(name: string): string {
    return join(PARTIAL, name.replaceAll('/', '%2F'));
  }

  #journal(name: string): string {
    return join(this.path, `${this.partialName(name)}.journal`);
  }

  /** Puts a journal in place of another one, whole. */
  async #writeJournal(name: string, indexes: readonly number[]): Promise<void> {
    const journal = this.#journal(name);
    await writeFile(`${journal}.new`, Buffer.from(Uint32Array.from(indexes).buffer));
    await rename(`${journal}.new`, journal);
  }

  async #readJournal(name: string, count: number): Promise<number[]> {
    const bytes = await readFile(this.#journal(name)).catch(() => Buffer.alloc(0));
    const indexes = new Set<number>();
    for (let at = 0; at + 4 <= bytes.byteLength; at += 4) indexes.add(bytes.readUInt32LE(at));
    return [...indexes].filter((index) => index < count).sort((a, b) => a - b);
  }
}

/** Reads the chunks of a file that may be there and calls `use` with each that is what it should be. */
async function eachGoodChunk(
  file: FileHandle,
  chunks: readonly PlacedChunk[],
  signal: AbortSignal,
  use: (index: number, bytes: Uint8Array, chunk: PlacedChunk) => unknown,
): Promise<void> {
  for (const [index, chunk] of chunks.entries()) {
    signal.throwIfAborted();
    const bytes = Buffer.allocUnsafe(chunk.length);
    const { bytesRead } = await file.read(bytes, 0, chunk.length, chunk.position);
    if (bytesRead === chunk.length && sha256(bytes) === chunk.digest) await use(index, bytes, chunk);
  }
}

/** Our own record is not believed where it would lead out of the directory. */
function isInside(name: string): boolean {
  try {
    return parseFilePath(name) === name;
  } catch {
    return false;
  }
}
