import { createHash } from 'node:crypto';
import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { CHUNK_BYTES, ChunkLayout } from '../../core/chunking.js';
import { DIGEST_BYTES, type Digest } from '../../core/digest.js';
import { CalyxError, fileError, systemCode } from '../../core/errors.js';
import type { Extent } from '../../core/byte-range.js';
import { changedError, sameFile, type FileIdentity } from './scan.js';

/** What to hash, and where to copy it. Plain data, so that it can be sent to a worker thread. */
export interface HashJob {
  readonly source: string;
  /** The file is expected to be this one, before and after. */
  readonly identity: FileIdentity;
  /** Extents of the tensors in it, ascending. */
  readonly tensors: readonly Extent[];
  /** The copy; without it the file is only hashed. */
  readonly copyTo?: string;
  /** Bytes at the start of `copyTo` that an earlier run wrote. They are read back instead of copied again. */
  readonly copiedBytes?: number;
}

/** The SHA-256 of a file and of each of its chunks. */
export interface HashResult {
  readonly blob: Digest;
  readonly chunkDigests: Uint8Array;
}

/**
 * Hashes a file chunk by chunk and copies it on the way. Synchronous: made for a worker thread. The copy is on the disk
 * (fdatasync) when this returns.
 *
 * @param onProgress called with the bytes done since the last call
 * @throws CalyxError `changed`, `disk-full`, `unreadable`
 */
export function hashFile(job: HashJob, onProgress: (bytes: number) => void): HashResult {
  const layout = ChunkLayout.of(job.identity.size, job.tensors);
  const chunkDigests = Buffer.alloc(layout.count * DIGEST_BYTES);
  const whole = createHash('sha256');
  const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  const input = doing('cannot read', job.source, () => openSource(job.source));
  let output: number | undefined;
  try {
    checkIdentity(input, job);
    const { copyTo } = job;
    if (copyTo !== undefined)
      output = doing('cannot write', copyTo, () => openCopy(copyTo, job.copiedBytes ?? 0));
    for (let index = 0; index < layout.count; index += 1) {
      const { offset, length } = layout.extent(index);
      const bytes = buffer.subarray(0, length);
      const copied = output !== undefined && offset + length <= (job.copiedBytes ?? 0);
      const from = copied && output !== undefined ? output : input;
      const complete = doing('cannot read', job.source, () => readFully(from, bytes, offset));
      if (!complete) throw changedError(job.source);
      if (output !== undefined && !copied) {
        const file = output;
        doing('cannot write', copyTo ?? '', () => writeFully(file, bytes, offset));
      }
      whole.update(bytes);
      createHash('sha256')
        .update(bytes)
        .digest()
        .copy(chunkDigests, index * DIGEST_BYTES);
      onProgress(length);
    }
    checkIdentity(input, job);
    if (output !== undefined) {
      const file = output;
      doing('cannot write', copyTo ?? '', () => {
        ftruncateSync(file, layout.size);
        syncCopy(file, copyTo ?? '');
      });
    }
    return { blob: whole.digest('hex'), chunkDigests };
  } finally {
    closeSync(input);
    if (output !== undefined) closeSync(output);
  }
}

/** A chunk that is not what the manifest says. */
export interface BadChunk extends Extent {
  readonly index: number;
}

/** What to compare with its digests. Plain data. */
export interface CheckJob {
  readonly path: string;
  readonly size: number;
  readonly tensors: readonly Extent[];
  readonly chunkDigests: Uint8Array;
  /** Stops at the first bad chunk. @default false */
  readonly untilBad?: boolean;
}

/**
 * Reads a file again and compares each chunk with its digest.
 *
 * @returns the chunks that differ or cannot be read; bytes after the expected end are not looked at
 */
export function checkFile(job: CheckJob, onProgress: (bytes: number) => void): BadChunk[] {
  const layout = ChunkLayout.of(job.size, job.tensors);
  const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  const bad: BadChunk[] = [];
  const input = doing('cannot read', job.path, () => openSync(job.path, 'r'));
  try {
    for (let index = 0; index < layout.count; index += 1) {
      const { offset, length } = layout.extent(index);
      const bytes = buffer.subarray(0, length);
      const expected = job.chunkDigests.subarray(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES);
      const good =
        readsFully(input, bytes, offset) && createHash('sha256').update(bytes).digest().equals(expected);
      if (!good) bad.push({ index, offset, length });
      onProgress(length);
      if (!good && job.untilBad === true) break;
    }
    return bad;
  } finally {
    closeSync(input);
  }
}

function checkIdentity(file: number, job: HashJob): void {
  const info = fstatSync(file, { bigint: true });
  const now = { size: Number(info.size), inode: String(info.ino), mtimeNs: String(info.mtimeNs) };
  if (!sameFile(now, job.identity)) throw changedError(job.source);
}

function openSource(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    // It was there when the job was made; 'not-found' might be passed over.
    throw systemCode(error) === 'ENOENT' ? changedError(path) : error;
  }
}

function openCopy(path: string, copiedBytes: number): number {
  return openSync(path, copiedBytes > 0 ? 'r+' : 'w+', 0o644);
}

/** After a failed sync the kernel may have dropped what was written, so nothing of the copy can be trusted by a later run. */
function syncCopy(file: number, path: string): void {
  try {
    fdatasyncSync(file);
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  }
}

/** False if the file ends before the buffer is full. */
function readFully(file: number, bytes: Uint8Array, position: number): boolean {
  for (let done = 0; done < bytes.byteLength;) {
    const count = readSync(file, bytes, done, bytes.byteLength - done, position + done);
    if (count === 0) return false;
    done += count;
  }
  return true;
}

function readsFully(file: number, bytes: Uint8Array, position: number): boolean {
  try {
    return readFully(file, bytes, position);
  } catch {
    // A sector that cannot be read is as bad as one that changed.
    return false;
  }
}

function writeFully(file: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.byteLength;) {
    done += writeSync(file, bytes, done, bytes.byteLength - done, position + done);
  }
}

function doing<T>(what: string, path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof CalyxError) throw error;
    throw fileError(error, what, path);
  }
}
