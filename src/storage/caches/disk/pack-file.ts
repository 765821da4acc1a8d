import { open, type FileHandle } from 'node:fs/promises';
import { CalyxError, fileError, systemCode } from '../../../core/errors.js';
import { decodePackHead, encodePackHead } from './pack-format.js';
import { PACK_HEAD_BYTES, packBytes, packGeometry, type PackGeometry } from './pack-geometry.js';

/** `writev` takes no more buffers at once (IOV_MAX of Linux). */
const MAX_BUFFERS = 1024;

/** A budget that has grown much would make too many segments of the size that once suited it. */
const MAX_OTHER_SEGMENTS = 4096;

/** The one file that holds all chunks, cut into segments. Its size is set when it is opened and never changes. */
export class PackFile {
  readonly path: string;
  readonly geometry: PackGeometry;
  readonly #handle: FileHandle;

  private constructor(path: string, geometry: PackGeometry, handle: FileHandle) {
    this.path = path;
    this.geometry = geometry;
    this.#handle = handle;
  }

  /**
   * Opens the file, or makes it. Where the budget has changed it is cut off or made longer; segments stay as they are, if there is room
   * for some of that size.
   *
   * @throws CalyxError `usage` if the budget is too small, else as the disk fails
   */
  static async open(path: string, budgetBytes: number, segmentBytes?: number): Promise<PackFile> {
    const wanted = packGeometry(budgetBytes, segmentBytes);
    let handle: FileHandle | undefined;
    try {
      handle = await openOrMake(path);
      const head = Buffer.alloc(64);
      await handle.read(head, 0, head.byteLength, 0);
      const found = decodePackHead(head);
      let geometry = found === undefined ? undefined : fitting(budgetBytes, found);
      const other = geometry?.segmentBytes !== wanted.segmentBytes;
      const tooMany = other && (geometry?.segments ?? 0) > MAX_OTHER_SEGMENTS;
      if (geometry === undefined || tooMany || (other && segmentBytes !== undefined)) {
        geometry = wanted;
        await handle.truncate(0);
        await handle.write(encodePackHead(geometry.segmentBytes), 0, undefined, 0);
      }
      // All of it at once, and sparse: a file that grows may be given more than it asks for (XFS).
      await handle.truncate(packBytes(geometry));
      return new PackFile(path, geometry, handle);
    } catch (error) {
      await handle?.close().catch(() => undefined);
      throw fileError(error, 'cannot prepare', path);
    }
  }

  /** Where a segment begins in the file. */
  segmentStart(segment: number): number {
    return PACK_HEAD_BYTES + segment * this.geometry.segmentBytes;
  }

  /** Fills `target` from a segment. Throws CalyxError if the disk fails or the file was cut off. */
  async read(segment: number, offset: number, target: Uint8Array): Promise<void> {
    const position = this.segmentStart(segment) + offset;
    try {
      for (let done = 0; done < target.byteLength;) {
        const { bytesRead } = await this.#handle.read(
          target,
          done,
          target.byteLength - done,
          position + done,
        );
        if (bytesRead === 0) throw new CalyxError('unreadable', `${this.path} was cut off by somebody else`);
        done += bytesRead;
      }
    } catch (error) {
      throw fileError(error, 'cannot read', this.path);
    }
  }

  /** Writes all of `parts` to a segment, or throws CalyxError. */
  async write(segment: number, offset: number, parts: readonly Uint8Array[]): Promise<void> {
    let position = this.segmentStart(segment) + offset;
    try {
      for (let rest = parts.filter((part) => part.byteLength > 0); rest.length > 0;) {
        const { bytesWritten } = await this.#handle.writev(rest.slice(0, MAX_BUFFERS), position);
        if (bytesWritten === 0) throw new CalyxError('disk-full', `${this.path} took no more bytes`);
        position += bytesWritten;
        rest = after(rest, bytesWritten);
      }
    } catch (error) {
      throw fileError(error, 'cannot write', this.path);
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

async function openOrMake(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r+');
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
    // The content is what a token may be needed for elsewhere, so it is for its owner alone.
    return open(path, 'w+', 0o600);
  }
}

function fitting(budgetBytes: number, segmentBytes: number): PackGeometry | undefined {
  try {
    return packGeometry(budgetBytes, segmentBytes);
  } catch {
    return undefined;
  }
}

/** What is left of `parts` after `bytes` of them. */
function after(parts: readonly Uint8Array[], bytes: number): Uint8Array[] {
  let index = 0;
  let left = bytes;
  for (; index < parts.length && left >= (parts[index]?.byteLength ?? 0); index += 1)
    left -= parts[index]?.byteLength ?? 0;
  const rest = parts.slice(index);
  if (left > 0 && rest[0] !== undefined) rest[0] = rest[0].subarray(left);
  return rest;
}
