import { rm, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Clock } from '../../core/clock.js';
import { CalyxError, fileError } from '../../core/errors.js';
import { mapLimited } from '../../core/map-limited.js';
import type { ModelName } from '../../core/names.js';
import { formatSize } from '../../core/units.js';
import { BufferPool } from '../../storage/buffer-pool.js';
import { bootId } from '../../storage/files/durable.js';
import { makeDirectories } from '../../storage/files/make-directories.js';
import { sizeOf } from '../../storage/files/size-of.js';
import type { RemoteFile, RemoteModel } from '../../storage/remote/remote-model.js';
import { openOwn } from '../fetch/open-own.js';
import { writeFully } from '../fetch/write-fully.js';
import type { StoreLayout } from '../store-layout.js';
import { DownloadJournal } from './download-journal.js';
import { gitBlobId } from './git-blob.js';
import type { HashPool, OnBytes } from './hash-pool.js';
import { Importer, STAGED } from './importer.js';
import { INCOMING, Incoming } from './incoming.js';
import { Patience } from './patience.js';
import { isWeights } from './select-files.js';
import { StagingJournal } from './staging-journal.js';

/** Options of {@link download} and {@link planDownload}. */
export interface DownloadOptions {
  readonly model: ModelName;
  readonly remote: RemoteModel;
  /** Which of its files, checked by `selectFiles`. */
  readonly files: readonly RemoteFile[];
  readonly pool: HashPool;
  readonly signal: AbortSignal;
  /** Called with what has to be moved, once that is known. */
  readonly onTotal?: (bytes: number) => void;
  readonly onBytes?: OnBytes;
  /** Called with a sentence when the source makes us wait or sends wrong bytes. */
  readonly onNotice?: (text: string) => void;
  /** Called with the directory when all files but those of weights are there; if it rejects, no weights are moved. */
  readonly onDescribed?: (directory: string) => Promise<void>;
  /** Ranges under way at the same time. @default 6 */
  readonly streams?: number;
  /** @default 8388608 (8 MiB) */
  readonly rangeBytes?: number;
  /** @default as that of {@link Patience} */
  readonly patienceMs?: number;
  readonly clock?: Clock;
}

const DEFAULTS = { streams: 6, rangeBytes: 8 * 1024 * 1024 } as const;

/** What a download has to do. */
export interface DownloadPlan {
  /** Bytes that are not there yet, by file; those of files that the store has are 0. */
  readonly missingBytes: ReadonlyMap<RemoteFile, number>;
  /** The store has these: where. */
  readonly published: ReadonlyMap<RemoteFile, string>;
}

/** What is to be moved of each file. */
interface Task {
  readonly file: RemoteFile;
  /** As {@link DownloadPlan.published}. */
  readonly published: string | undefined;
  readonly verified: boolean;
}

/**
 * Brings the files of a model that lies elsewhere into the store's staging area, as an ordinary directory, each one verified as soon as it
 * is whole. Nothing is visible yet. May be interrupted at any point; the next call goes on from there and moves nothing that was there.
 *
 * @returns the directory, to be staged with mode `link`: its files are linked there already
 * @throws CalyxError as the source does; `corrupt` for a file that was wrong twice; `disk-full`
 */
export async function download(layout: StoreLayout, options: DownloadOptions): Promise<string> {
  const { model, remote, files, pool, signal, onNotice } = options;
  const notice = onNotice === undefined ? {} : { onNotice };
  const staging = layout.staging(model);
  const incoming = new Incoming(layout, model);
  const boot = await bootId();
  await makeDirectories(incoming.directory);
  const journal = await DownloadJournal.open(join(staging, INCOMING.journal), boot);
  try {
    await incoming.dropStale(files, journal);
    const staged = await StagingJournal.open(join(staging, STAGED.journal));
    const importer = new Importer(layout, { model, mode: 'link', pool, signal, ...notice }, staged, boot);
    const download = new Download(layout, options, { incoming, journal, staged, importer });
    const tasks: Task[] = [];
    for (const file of files) tasks.push(await download.look(file));
    const missing = tasks.reduce((sum, task) => sum + download.missingBytes(task), 0);
    await checkRoom(staging, missing, remote.name);
    options.onTotal?.(missing);
    // What tells what the model is comes first, so that one that is not good is refused before its weights have moved.
    const streams = options.streams ?? DEFAULTS.streams;
    const ofWeights = (task: Task): boolean => isWeights(task.file.path);
    await mapLimited(
      tasks.filter((task) => !ofWeights(task)),
      streams,
      (task) => download.bring(task),
    );
    await options.onDescribed?.(incoming.directory);
    await mapLimited(tasks.filter(ofWeights), streams, (task) => download.bring(task));
    signal.throwIfAborted();
    return incoming.directory;
  } finally {
    await journal.close();
  }
}

/** What {@link download} would do; changes nothing. */
export async function planDownload(
  layout: StoreLayout,
  options: Pick<DownloadOptions, 'model' | 'files' | 'signal' | 'rangeBytes'>,
): Promise<DownloadPlan> {
  const incoming = new Incoming(layout, options.model);
  const path = join(layout.staging(options.model), INCOMING.journal);
  const journal =
    (await sizeOf(path)) === undefined ? undefined : await DownloadJournal.read(path, await bootId());
  const missingBytes = new Map<RemoteFile, number>();
  const published = new Map<RemoteFile, string>();
  for (const file of options.files) {
    const place = await incoming.published(file, options.signal);
    if (place !== undefined) published.set(file, place);
    const begun = journal !== undefined && (await incoming.has(file)) ? journal : undefined;
    const gone = place !== undefined || begun?.isWhole(file) === true;
    const ranges = gone ? [] : missingRanges(file, begun, options.rangeBytes ?? DEFAULTS.rangeBytes);
    missingBytes.set(file, ranges.reduce((sum, { length }) => sum + length, 0)); // prettier-ignore
  }
  return { missingBytes, published };
}

interface Tools {
  readonly incoming: Incoming;
  readonly journal: DownloadJournal;
  readonly staged: StagingJournal;
  readonly importer: Importer;
}

/** One run of {@link download}. */
class Download {
  readonly #layout: StoreLayout;
  readonly #options: DownloadOptions;
  readonly #tools: Tools;
  readonly #buffers: BufferPool;
  readonly #patience: Patience;
  readonly #rangeBytes: number;
  readonly #streams: number;

  constructor(layout: StoreLayout, options: DownloadOptions, tools: Tools) {
    this.#layout = layout;
    this.#options = options;
    this.#tools = tools;
    this.#streams = options.streams ?? DEFAULTS.streams;
    this.#rangeBytes = options.rangeBytes ?? DEFAULTS.rangeBytes;
    // The buffers are also what bounds the ranges under way.
    this.#buffers = new BufferPool({ budgetBytes: this.#streams * this.#rangeBytes });
    const { patienceMs, clock, onNotice } = options;
    this.#patience = new Patience({
      ...(patienceMs !== undefined && { deadlineMs: patienceMs }),
      ...(clock !== undefined && { clock }),
      onWait: ({ message }, pauseMs) =>
        onNotice?.(`${message}; trying again in ${Math.ceil(pauseMs / 1000)} s`),
    });
  }

  /** Finds out what is there of a file. */
  async look(file: RemoteFile): Promise<Task> {
    const { incoming, journal } = this.#tools;
    if (!journal.isStale(file) && !(await incoming.has(file))) await incoming.drop(file, journal);
    const verified = await this.#isVerified(file);
    const published = verified ? undefined : await incoming.published(file, this.#options.signal);
    return { file, verified, published };
  }

  missingBytes({ file, verified, published }: Task): number {
    if (verified || published !== undefined) return 0;
    return this.#missing(file).reduce((sum, { length }) => sum + length, 0);
  }

  /** Moves what is missing of a file and verifies it; a file that is wrong is moved once more. */
  async bring({ file, published, verified }: Task): Promise<void> {
    if (verified) return;
    const { incoming, journal } = this.#tools;
    if (published !== undefined && (await incoming.take(file, published))) {
      if ((await this.#verify(file)) === undefined) return;
      // The blob in the store is damaged; the one that is fetched will take its place.
      await incoming.drop(file, journal);
    }
    await this.#fetch(file);
    const first = await this.#verify(file);
    if (first === undefined) return;
    this.#options.onNotice?.(
      `${file.path} is not what ${this.#options.remote.name} says it is (${first}); it is fetched again`,
    );
    await incoming.drop(file, journal);
    await this.#fetch(file);
    const second = await this.#verify(file);
    if (second === undefined) return;
    await incoming.drop(file, journal);
    throw new CalyxError(
      'corrupt',
      `${file.path} was fetched twice from ${this.#options.remote.name}, and is not what that says it is: ${second}`,
      { hint: 'nothing was published; use another source, or tell whoever runs this one' },
    );
  }

  async #fetch(file: RemoteFile): Promise<void> {
    const { incoming, journal } = this.#tools;
    const { remote, signal, onBytes } = this.#options;
    const path = incoming.path(file);
    await makeDirectories(dirname(path));
    const handle = await openOwn(path, true).catch((error: unknown) => {
      throw fileError(error, 'cannot write', path);
    });
    try {
      await mapLimited(this.#missing(file), this.#streams, async ({ offset, length }) => {
        const lease = await this.#buffers.take(length, signal);
        try {
          await this.#patience.run(() => remote.read(file, offset, lease.buffer, signal), signal);
          await writeFully(handle, lease.buffer, offset).catch((error: unknown) => {
            throw fileError(error, 'cannot write', path);
          });
          await journal.addRange(file, offset, length);
        } finally {
          lease.release();
        }
        onBytes?.(length);
      });
    } finally {
      await handle.close();
    }
  }

  #missing(file: RemoteFile): Range[] {
    return missingRanges(file, this.#tools.journal, this.#rangeBytes);
  }

  /** Hashes a whole file and links it into the staging area. Returns what is wrong with it, or undefined. */
  async #verify(file: RemoteFile): Promise<string | undefined> {
    const { incoming, importer, journal } = this.#tools;
    const { model, signal } = this.#options;
    const path = incoming.path(file);
    if (file.gitBlob !== undefined) {
      const id = await gitBlobId(path, signal).catch((error: unknown) => {
        signal.throwIfAborted();
        throw fileError(error, 'cannot read', path);
      });
      if (id !== file.gitBlob) return `its git id is ${id} instead of ${file.gitBlob}`;
    }
    const source = await incoming.source(file);
    if (source.size !== file.size) return `it has ${source.size} bytes instead of ${file.size}`;
    const { blob } = await importer.import(source, await incoming.tensors(file));
    if (file.sha256 === undefined || blob === file.sha256) {
      await journal.addWhole(file);
      return undefined;
    }
    await rm(join(this.#layout.staging(model), STAGED.blobs, blob), { force: true });
    return `its SHA-256 is ${blob} instead of ${file.sha256}`;
  }

  /** True if an earlier run has verified a file, and the store still has it as it was then. */
  async #isVerified(file: RemoteFile): Promise<boolean> {
    const { incoming, journal, staged } = this.#tools;
    if (!journal.isWhole(file)) return false;
    const source = await incoming.source(file).catch(() => undefined);
    if (source?.size !== file.size) return false;
    const known = staged.find(source, await incoming.tensors(file));
    if (known === undefined || (file.sha256 !== undefined && known.blob !== file.sha256)) return false;
    const path = join(this.#layout.staging(this.#options.model), STAGED.blobs, known.blob);
    return (await sizeOf(path)) === file.size;
  }
}

interface Range {
  readonly offset: number;
  readonly length: number;
}

function missingRanges(file: RemoteFile, journal: DownloadJournal | undefined, rangeBytes: number): Range[] {
  const ranges: Range[] = [];
  for (let offset = 0; offset < file.size; offset += rangeBytes) {
    const length = Math.min(rangeBytes, file.size - offset);
    if (journal?.has(file, offset, length) !== true) ranges.push({ offset, length });
  }
  return ranges;
}

/** @throws CalyxError `disk-full` unless there is room for so many more bytes */
async function checkRoom(directory: string, neededBytes: number, name: string): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  if (neededBytes <= bavail * bsize) return;
  throw new CalyxError(
    'disk-full',
    `${name} needs ${formatSize(neededBytes)} more, but ${directory} has only ${formatSize(bavail * bsize)} free`,
    {
      hint: 'free some space, choose another --data directory, or leave files out with --exclude; nothing was fetched',
    },
  );
}
