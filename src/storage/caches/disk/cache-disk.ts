import { join } from 'node:path';
import { CalyxError, isCalyxError } from '../../../core/errors.js';
import { acquireOwnership, type Ownership } from '../../files/ownership.js';
import { ChunkLog } from './chunk-log.js';
import { NONE } from './chunk-table.js';
import type { DiskHealth } from './disk-health.js';
import { PackFile } from './pack-file.js';
import { packBytes, packGeometry } from './pack-geometry.js';
import type { Run, StoredChunk } from './read-plan.js';

/** The pack file's name in the cache's directory. */
export const PACK_FILE = 'chunks.pack';

/** Which part of the disk a cache uses. */
export interface CacheDiskOptions {
  readonly directory: string;
  readonly budgetBytes: number;
  readonly segmentBytes?: number;
  readonly description: string;
}

/** A cache's directory, once it is owned and its pack file is open; a disk that fails then is tried again. */
export class CacheDisk {
  readonly path: string;
  readonly #options: CacheDiskOptions;
  readonly #health: DiskHealth;
  readonly #now: () => number;
  #opened: { readonly ownership: Ownership; readonly file: PackFile; readonly log: ChunkLog } | undefined;
  #opening: Promise<void> | undefined;
  #closed = false;

  constructor(options: CacheDiskOptions, health: DiskHealth, now: () => number) {
    this.path = join(options.directory, PACK_FILE);
    this.#options = options;
    this.#health = health;
    this.#now = now;
  }

  /** The chunks, or undefined while the disk cannot be used at all. */
  get log(): ChunkLog | undefined {
    return this.#opened?.log;
  }

  get reservedBytes(): number {
    return this.#opened === undefined ? 0 : packBytes(this.#opened.file.geometry);
  }

  /** Throws CalyxError `usage` and `busy`; other failures are for the health. */
  async open(): Promise<void> {
    const { directory, budgetBytes, segmentBytes, description } = this.#options;
    packGeometry(budgetBytes, segmentBytes);
    let ownership: Ownership | undefined;
    let file: PackFile | undefined;
    try {
      ownership = await acquireOwnership(directory, { description });
      file = await PackFile.open(this.path, budgetBytes, segmentBytes);
      this.#opened = { ownership, file, log: await ChunkLog.open(file, this.#now) };
    } catch (error) {
      await file?.close();
      await ownership?.release();
      if (isCalyxError(error, 'busy')) throw error;
      this.#health.failed(error);
    }
  }

  /** Tries to open it again if that has failed and it is time. */
  wake(): void {
    if (this.#opened !== undefined || this.#closed || !this.#health.usable) return;
    this.#opening ??= this.open()
      .catch((error: unknown) => this.#health.failed(error))
      .finally(() => (this.#opening = undefined));
  }

  async idle(): Promise<void> {
    await this.#opening;
  }

  /** Fills `target` with these runs, one after the other. */
  async read(runs: readonly Run[], target: Uint8Array): Promise<void> {
    let at = 0;
    for (const { segment, offset, length } of runs)
      await this.readRun(segment, offset, target.subarray(at, (at += length)));
  }

  readRun(segment: number, offset: number, target: Uint8Array): Promise<void> {
    if (this.#opened !== undefined) return this.#opened.file.read(segment, offset, target);
    return Promise.reject(new CalyxError('unavailable', `${this.path} is closed`));
  }

  /** Notes that a chunk was compared with its digest, if it is still where it was. */
  confirm(stored: StoredChunk): void {
    const slot = this.#slotOf(stored);
    if (slot !== NONE) this.#opened?.log.table.setVerified(slot);
  }

  /** Forgets a chunk, if it is still where it was. */
  forget(stored: StoredChunk): void {
    const slot = this.#slotOf(stored);
    if (slot !== NONE) this.#opened?.log.table.remove(slot);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#opening;
    const opened = this.#opened;
    this.#opened = undefined;
    await opened?.file.close();
    await opened?.ownership.release();
  }

  #slotOf({ chunk, segment, offset }: StoredChunk): number {
    const table = this.#opened?.log.table;
    const slot = table?.find(chunk.digest) ?? NONE;
    return slot !== NONE && table?.segment(slot) === segment && table.offset(slot) === offset ? slot : NONE;
  }
}
