import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError } from '../../core/errors.js';
import { mapLimited } from '../../core/map-limited.js';
import { subLease, type ByteSource } from '../../storage/byte-source.js';
import { transferBytes, type Transfer } from './transfer.js';
import { openOwn } from './open-own.js';
import { writeFully } from './write-fully.js';

/** Called when all bytes of a transfer are in their files. */
export type OnTransferDone = (index: number) => void;

/** Options of {@link runTransfers}. */
export interface RunTransfersOptions {
  /** The files' directory; the files exist. */
  readonly directory: string;
  /** A source that passes on verified bytes only. */
  readonly source: ByteSource;
  /** Transfers at the same time. @default 4 */
  readonly parallel?: number;
  readonly onDone: OnTransferDone;
  readonly signal: AbortSignal;
}

/** Something that runs transfers: on this thread or on others. Rejects with the first failure, when all others have ended. */
export interface TransferRunner {
  run(transfers: readonly Transfer[], onDone: OnTransferDone, signal: AbortSignal): Promise<void>;
  /** How often a read was tried again, or another source was asked, so far. */
  readonly retries: number;
  /** Bytes that came in, wrong ones included. */
  readonly bytesReceived: number;
  close(): Promise<void>;
}

/** Reads each transfer and writes its chunks to their files. */
export async function runTransfers(
  transfers: readonly Transfer[],
  options: RunTransfersOptions,
): Promise<void> {
  const files = new OpenFiles(options.directory);
  try {
    await mapLimited(transfers, options.parallel ?? 4, async (transfer, index) => {
      options.signal.throwIfAborted();
      await runTransfer(transfer, options, files);
      options.onDone(index);
    });
  } finally {
    await files.close();
  }
}

async function runTransfer(
  transfer: Transfer,
  { source, signal }: RunTransfersOptions,
  files: OpenFiles,
): Promise<void> {
  const start = transfer.chunks[0]?.offset ?? 0;
  const lease = await source.read(transfer.blob, start, transferBytes(transfer), { signal });
  try {
    for (const chunk of transfer.chunks) {
      for (const target of chunk.targets) {
        let { position } = target;
        for (const part of subLease(lease, chunk.offset - start, chunk.length).parts) {
          await files.write(target.file, part, position);
          position += part.byteLength;
        }
      }
    }
  } finally {
    lease.release();
  }
}

/**
 * Files open for writing, each opened once. Each is written by one call at a time: Linux lets no two write to the same file (ext4, xfs),
 * so the others would hold a thread of the pool and spin on its lock.
 */
class OpenFiles {
  readonly #directory: string;
  readonly #files = new Map<string, OpenFile>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  async write(name: string, bytes: Uint8Array, position: number): Promise<void> {
    const path = join(this.#directory, name);
    let file = this.#files.get(name);
    if (file === undefined) {
      file = new OpenFile(openOwn(path));
      this.#files.set(name, file);
    }
    try {
      await file.write(bytes, position);
    } catch (error) {
      throw fileError(error, 'cannot write', path);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#files.values()].map((file) => file.close()));
  }
}

class OpenFile {
  readonly #handle: Promise<FileHandle>;
  /** Settles when all writes so far have ended. */
  #written: Promise<void>;

  constructor(handle: Promise<FileHandle>) {
    this.#handle = handle;
    this.#written = handle.then(() => undefined);
    this.#written.catch(() => undefined);
  }

  write(bytes: Uint8Array, position: number): Promise<void> {
    // After a write that failed the next one fails by itself, or finds that there is room again.
    const done = this.#written
      .catch(() => undefined)
      .then(async () => writeFully(await this.#handle, bytes, position));
    this.#written = done;
    return done;
  }

  async close(): Promise<void> {
    await this.#written.catch(() => undefined);
    await this.#handle.then((handle) => handle.close()).catch(() => undefined);
  }
}
