import { constants, copyFile, link, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256 } from '../../core/digest.js';
import { fileError, systemCode } from '../../core/errors.js';
import type { ModelName } from '../../core/names.js';
import type { StoreLayout } from '../store-layout.js';
import type { HashJob, HashResult } from './hash-file.js';
import type { HashPool, OnBytes } from './hash-pool.js';
import { identify, type SourceFile } from './scan.js';
import type { StagingJournal } from './staging-journal.js';
import { sizeOf } from '../../storage/files/size-of.js';

/** How a file comes into the store: a copy, a hard link, or a clone that shares its blocks on the disk. */
export type ImportMode = 'copy' | 'link' | 'reflink';

/** The names of the staging area's contents. */
export const STAGED = {
  blobs: 'blobs',
  manifest: 'manifest.json',
  /** Which revision the manifest is to be, where that does not follow from it. */
  revision: 'revision.json',
  journal: 'files.jsonl',
} as const;

const PARTIAL = 'partial-';

/** The errors by which a file system says that it cannot link or clone. */
const IMPOSSIBLE = ['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'ENOTTY', 'ENOSYS'];

/** What {@link Importer} needs to know. */
export interface ImporterOptions {
  readonly model: ModelName;
  readonly mode: ImportMode;
  readonly pool: HashPool;
  readonly signal: AbortSignal;
  readonly onBytes?: OnBytes;
  readonly onNotice?: (text: string) => void;
}

/** Brings files into the staging area of one model. */
export class Importer {
  readonly #blobs: string;
  readonly #options: ImporterOptions;
  readonly #journal: StagingJournal;
  readonly #bootId: string;

  constructor(layout: StoreLayout, options: ImporterOptions, journal: StagingJournal, boot: string) {
    this.#blobs = join(layout.staging(options.model), STAGED.blobs);
    this.#options = options;
    this.#journal = journal;
    this.#bootId = boot;
  }

  /** Brings one file into the staging area. Throws CalyxError as {@link HashPool.hash} does, or `unreadable`. */
  async import(file: SourceFile, tensors: HashJob['tensors']): Promise<HashResult> {
    const { mode, pool, signal, onBytes } = this.#options;
    signal.throwIfAborted();
    const target = this.#partial(file);
    const linked = mode === 'copy' ? false : await this.#tryLink(file, target, mode);
    const { size, inode, mtimeNs } = file;
    const copy = linked ? {} : { copyTo: target, copiedBytes: await this.copiedBytes(file) };
    // The content that counts is what lies in the store, so a link is hashed at its new place.
    const source = linked ? target : file.realPath;
    const result = await pool.hash(
      { source, identity: linked ? await identify(target) : { size, inode, mtimeNs }, tensors, ...copy },
      onBytes ?? (() => undefined),
    );
    try {
      // A copy is synced while it is written; a link or clone may be of content that its writer never synced.
      if (linked) await syncContent(target);
      await rename(target, join(this.#blobs, result.blob));
      await this.#journal.add(file, tensors, result);
    } catch (error) {
      throw fileError(error, 'cannot store', file.path);
    }
    return result;
  }

  /** Bytes of a file that an interrupted run has copied. */
  async copiedBytes(file: SourceFile): Promise<number> {
    return (await sizeOf(this.#partial(file))) ?? 0;
  }

  /** Removes the beginnings of copies that cannot be continued, because their source changed or the machine restarted. */
  async dropStale(files: readonly SourceFile[]): Promise<void> {
    const partials = new Set(files.map((file) => this.#partial(file)));
    for (const name of await readdir(this.#blobs)) {
      const path = join(this.#blobs, name);
      if (name.startsWith(PARTIAL) && !partials.has(path)) await rm(path, { force: true });
    }
  }

  /**
   * Where a file is copied to. A copy may go on where it stopped only if it is of this very file, in this very boot: it was
   * not synced. Two paths may lead to the same file by symbolic links, and are copied at the same time.
   */
  #partial({ path, realPath, size, inode, mtimeNs }: SourceFile): string {
    const identity = [path, realPath, size, inode, mtimeNs, this.#bootId].join('\n');
    return join(this.#blobs, `${PARTIAL}${sha256(identity).slice(0, 32)}`);
  }

  async #tryLink(file: SourceFile, target: string, mode: 'link' | 'reflink'): Promise<boolean> {
    await rm(target, { force: true });
    try {
      if (mode === 'link') await link(file.realPath, target);
      else await copyFile(file.realPath, target, constants.COPYFILE_FICLONE_FORCE);
      return true;
    } catch (error) {
      await rm(target, { force: true });
      if (!IMPOSSIBLE.includes(systemCode(error) ?? ''))
        throw fileError(error, `cannot ${mode}`, file.realPath);
      this.#options.onNotice?.(
        `${file.path}: a ${mode} to the store's file system is not possible, so it is copied`,
      );
      return false;
    }
  }
}

async function syncContent(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.datasync();
  } finally {
    await file.close();
  }
}
