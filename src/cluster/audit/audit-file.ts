import type { Stats } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { basename, dirname, sep } from 'node:path';
import type { Logger } from 'pino';
import { createStream, type RotatingFileStream } from 'rotating-file-stream';
import type { Clock } from '../../core/clock.js';
import { errorMessage, systemCode } from '../../core/errors.js';

/** Options of {@link AuditFile}. */
export interface AuditFileOptions {
  readonly logger: Pick<Logger, 'warn' | 'info'>;
  readonly clock: Clock;
  /** At which size the file is put aside. */
  readonly maxBytes: number;
  /** How many are kept that were put aside: `audit.log.1` is the youngest. */
  readonly kept: number;
}

/** What waits for the disk; what comes after that is counted and lost. */
const MAX_WAITING_BYTES = 1024 * 1024;
const BATCH_BYTES = 64 * 1024;
const RETRY_MS = 10_000;
const NEWLINE = 0x0a;

/**
 * Lines in a file (0600) that rotates by size. A line is handed over at once and written soon. While the disk cannot take it, a bounded
 * number of lines waits, and it is tried again with the first line that comes 10 seconds later; the trouble is reported once, and once when it is over.
 */
export class AuditFile {
  readonly #file: string;
  readonly #options: AuditFileOptions;
  readonly #waiting: string[] = [];
  #waitingBytes = 0;
  #lost = 0;
  #stream: RotatingFileStream | undefined;
  /** Of the file that the stream writes, once it is known. */
  #inode: number | undefined;
  #writing: Promise<void> | undefined;
  #isInTrouble = false;
  #retryAt = -Infinity;

  constructor(file: string, options: AuditFileOptions) {
    this.#file = file;
    this.#options = options;
  }

  /** Takes a line, with its line break. Never throws, never waits. */
  add(line: string): void {
    if (this.#waitingBytes + line.length > MAX_WAITING_BYTES) {
      this.#lost += 1;
    } else {
      this.#waiting.push(line);
      this.#waitingBytes += line.length;
    }
    const now = this.#options.clock.now();
    // Also if the clock was set back.
    if (now < this.#retryAt && now >= this.#retryAt - RETRY_MS) return;
    this.#start();
  }

  /** How many lines were lost since that was asked last. */
  takeLost(): number {
    const lost = this.#lost;
    this.#lost = 0;
    return lost;
  }

  /** Whether the last attempt to write has failed. */
  get isInTrouble(): boolean {
    return this.#isInTrouble;
  }

  /** Tries to write whatever waits, and returns when that is in the file or has failed. */
  async flush(): Promise<void> {
    await this.#writing;
    this.#start();
    await this.#writing;
  }

  async close(): Promise<void> {
    await this.flush();
    await this.#end();
  }

  #start(): void {
    this.#writing ??= this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    // So that it never ends before it is known to have begun.
    await Promise.resolve();
    try {
      while (this.#waiting.length > 0) {
        const count = this.#batch();
        const batch = this.#waiting.slice(0, count).join('');
        await this.#write(batch);
        this.#waiting.splice(0, count);
        this.#waitingBytes -= batch.length;
        if (this.#isInTrouble)
          this.#options.logger.info({ file: this.#file }, 'the audit log can be written again');
        this.#isInTrouble = false;
      }
    } catch (error) {
      this.#retryAt = this.#options.clock.now() + RETRY_MS;
      await this.#end();
      if (this.#isInTrouble) return;
      this.#isInTrouble = true;
      this.#options.logger.warn(
        { file: this.#file, reason: errorMessage(error) },
        'the audit log cannot be written: lines wait for a while, then they are lost; check the disk and its permissions',
      );
    } finally {
      // At once, so that a line which comes now begins anew.
      this.#writing = undefined;
    }
  }

  /** How many lines are written in one go; at least one. */
  #batch(): number {
    let bytes = 0;
    const end = this.#waiting.findIndex((line) => (bytes += line.length) > BATCH_BYTES);
    return end === -1 ? this.#waiting.length : Math.max(end, 1);
  }

  async #write(text: string): Promise<void> {
    // The stream would go on writing to a file that was removed or moved away, where nobody sees it.
    const there = await statOf(this.#file);
    if (this.#inode !== undefined && there?.ino !== this.#inode) await this.#end();
    let before = '';
    if (this.#stream === undefined) {
      // The stream would make the directory, which others may then read.
      await stat(dirname(this.#file));
      before = await prepare(this.#file);
      this.#stream = this.#open();
    }
    const stream = this.#stream;
    await new Promise<void>((resolve, reject) => {
      // A write that waits for the opening of the file is not always told that it failed.
      stream.once('error', reject);
      stream.write(before + text, (error) => {
        stream.off('error', reject);
        if (error) reject(error);
        else resolve();
      });
    });
    const after = await statOf(this.#file);
    this.#inode = after?.ino;
    // The stream does not look at how much of it was written, which a full disk shows first.
    const grown = there !== undefined && there.ino === after?.ino ? after.size - there.size : Infinity;
    if (grown < Buffer.byteLength(before + text)) throw new Error('the disk took only a part of a line');
  }

  #open(): RotatingFileStream {
    const { maxBytes, kept } = this.#options;
    const stream = createStream(basename(this.#file), {
      path: dirname(this.#file) + sep,
      size: `${maxBytes}B`,
      rotate: kept,
      mode: 0o600,
    });
    // Whoever waits for a write hears of its error; one that nobody waits for must not end the process.
    stream.on('error', () => undefined);
    // When it has rotated, there is another file.
    stream.on('open', () => (this.#inode = undefined));
    return stream;
  }

  #end(): Promise<void> {
    const stream = this.#stream;
    this.#stream = undefined;
    this.#inode = undefined;
    if (stream === undefined || stream.closed) return Promise.resolve();
    return new Promise((resolve) => {
      stream.once('close', () => resolve());
      if (!stream.destroyed) stream.end(() => resolve());
    });
  }
}

/** What a file is at the moment; undefined if it is not there. */
async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Makes a file that is there private; returns the line break that its last line lacks if a full disk or a crash has cut it off. */
async function prepare(path: string): Promise<string> {
  const there = await statOf(path);
  if (there === undefined) return '';
  if (!there.isFile()) throw new Error(`${path} is not a file`);
  const file = await open(path, 'r');
  try {
    await file.chmod(0o600);
    const { size } = await file.stat();
    const { bytesRead, buffer } = await file.read(Buffer.alloc(1), 0, 1, Math.max(size - 1, 0));
    return bytesRead === 0 || buffer[0] === NEWLINE ? '' : '\n';
  } finally {
    await file.close();
  }
}
