import { link, lstat, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileError, isCalyxError } from '../../core/errors.js';
import type { ModelName } from '../../core/names.js';
import { makeDirectories } from '../../storage/files/make-directories.js';
import { sizeOf } from '../../storage/files/size-of.js';
import type { RemoteFile } from '../../storage/remote/remote-model.js';
import { readSafetensorsFile } from '../../weights/safetensors-file.js';
import type { Tensor } from '../../weights/tensor.js';
import { DiskCatalog } from '../catalog-reader.js';
import type { StoreLayout } from '../store-layout.js';
import type { DownloadJournal } from './download-journal.js';
import { gitBlobId } from './git-blob.js';
import { STAGED } from './importer.js';
import { identify, type SourceFile } from './scan.js';

/** In the staging area: files under way, as an ordinary model directory, and which ranges of them have arrived. */
export const INCOMING = { files: 'incoming', journal: 'incoming.jsonl' } as const;

/** The files of a download on the disk. */
export class Incoming {
  readonly directory: string;
  readonly #layout: StoreLayout;
  readonly #model: ModelName;
  readonly #catalog: DiskCatalog;

  constructor(layout: StoreLayout, model: ModelName) {
    this.directory = join(layout.staging(model), INCOMING.files);
    this.#layout = layout;
    this.#model = model;
    this.#catalog = new DiskCatalog(layout);
  }

  path(file: RemoteFile): string {
    return join(this.directory, file.path);
  }

  /** A file as what is then staged from it. Rejects with the system's error. */
  async source(file: RemoteFile): Promise<SourceFile> {
    const realPath = this.path(file);
    return { path: file.path, realPath, ...(await identify(realPath)) };
  }

  /** The tensors of a file that is whole; none if it is not one of weights, or not a good one, which is told later. */
  async tensors(file: RemoteFile): Promise<readonly Tensor[]> {
    if (!file.path.endsWith('.safetensors')) return [];
    return readSafetensorsFile(this.path(file), file.path).then(
      ({ tensors }) => tensors,
      () => [],
    );
  }

  /** Bytes of a file that are there already, of which the journal must tell what they are worth. */
  async has(file: RemoteFile): Promise<boolean> {
    return lstat(this.path(file)).then(
      (info) => info.isFile() && info.size <= file.size,
      () => false,
    );
  }

  async drop(file: RemoteFile, journal: DownloadJournal): Promise<void> {
    await journal.drop(file.path);
    await rm(this.path(file), { recursive: true, force: true });
  }

  /**
   * Removes what is not part of this download: another revision's files, contents that have changed at the source, and blobs that an
   * earlier run has staged and nobody will publish. So no more than this model's size is on the disk.
   */
  async dropStale(files: readonly RemoteFile[], journal: DownloadJournal): Promise<void> {
    await makeDirectories(this.directory);
    const wanted = new Map(files.map((file) => [file.path, file]));
    const names = await readdir(this.directory, { recursive: true, withFileTypes: true });
    for (const entry of names) {
      const path = join(entry.parentPath, entry.name).slice(this.directory.length + 1);
      const file = wanted.get(path);
      if (entry.isDirectory() && file === undefined) continue;
      if (file !== undefined && entry.isFile() && !journal.isStale(file)) continue;
      if (file !== undefined) await this.drop(file, journal);
      else await rm(join(this.directory, path), { recursive: true, force: true });
    }
    const blobs = join(this.#layout.staging(this.#model), STAGED.blobs);
    await makeDirectories(blobs);
    for (const name of await readdir(blobs)) {
      const path = join(blobs, name);
      // What a run of this kind has staged has a second name in `incoming/`.
      if ((await stat(path)).nlink < 2) await rm(path, { force: true });
    }
  }

  /**
   * Where the store has the content of a file already, published: by its SHA-256 in any model, by its git id among the files of this one
   * at the same path. Undefined if nowhere.
   */
  async published(file: RemoteFile, signal: AbortSignal): Promise<string | undefined> {
    if (file.sha256 !== undefined) {
      const path = await this.#catalog.locate(file.sha256);
      return path !== undefined && (await sizeOf(path)) === file.size ? path : undefined;
    }
    if (file.gitBlob === undefined) return undefined;
    const current = await this.#catalog
      .resolve({ model: this.#model, revision: 'main' })
      .catch((error: unknown) => {
        if (isCalyxError(error)) return undefined;
        throw error;
      });
    const same = current?.manifest.file(file.path);
    if (same?.size !== file.size) return undefined;
    const path = this.#layout.blob(this.#model, same.blob);
    const id = await gitBlobId(path, signal).catch(() => undefined);
    signal.throwIfAborted();
    return id === file.gitBlob ? path : undefined;
  }

  /** Takes a published file in; it shares its space on the disk. False if the file system allows that in no way. */
  async take(file: RemoteFile, published: string): Promise<boolean> {
    const path = this.path(file);
    try {
      await makeDirectories(dirname(path));
      await rm(path, { recursive: true, force: true });
    } catch (error) {
      throw fileError(error, 'cannot write', path);
    }
    return link(published, path).then(
      () => true,
      () => false,
    );
  }
}
