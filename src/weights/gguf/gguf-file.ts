import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { CalyxError, fileError } from '../../core/errors.js';
import { formatSize } from '../../core/units.js';
import { invalidGguf } from './gguf-error.js';
import { GGUF_MAGIC, parseGgufHeader, type GgufHeader } from './gguf-header.js';

/** A GGUF file's size in bytes and what its header says. */
export interface GgufFile extends GgufHeader {
  readonly size: number;
}

/** How much is read at first; as long as the header is longer, four times as much. */
const FIRST_BYTES = 1024 * 1024;
/** Headers of models with the largest vocabularies have some 20 MB. */
const MAX_HEADER_BYTES = 128 * 1024 * 1024;

/**
 * Reads the header of a GGUF file, and nothing else of it.
 *
 * @param path where it is
 * @param name what to call it in errors
 * @throws CalyxError `invalid-model`, `unsupported`, `not-found`, `unreadable`, `changed`
 */
export async function readGgufFile(path: string, name = path): Promise<GgufFile> {
  return withFile(path, name, async (file, size) => {
    let bytes: Buffer = Buffer.alloc(0);
    for (let want = FIRST_BYTES; ; want *= 4) {
      bytes = await grow(file, bytes, Math.min(want, size, MAX_HEADER_BYTES), name);
      const header = parseGgufHeader(bytes, size, name);
      if (header !== undefined) return { size, ...header };
      if (bytes.byteLength >= MAX_HEADER_BYTES)
        throw invalidGguf(name, `its header is longer than ${formatSize(MAX_HEADER_BYTES)}`);
    }
  });
}

/** True if a file begins as GGUF files do. Throws CalyxError as {@link readGgufFile} does. */
export async function isGgufFile(path: string): Promise<boolean> {
  return withFile(path, path, async (file, size) => {
    const bytes = await grow(file, Buffer.alloc(0), Math.min(GGUF_MAGIC.length, size), path);
    return bytes.toString('latin1') === GGUF_MAGIC;
  });
}

async function withFile<T>(
  path: string,
  name: string,
  use: (file: FileHandle, size: number) => Promise<T>,
): Promise<T> {
  let file: FileHandle | undefined;
  try {
    // Without O_NONBLOCK, a FIFO of this name would be waited for.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const info = await file.stat();
    if (!info.isFile()) throw new CalyxError('invalid-model', `${name} is not a regular file`);
    return await use(file, info.size);
  } catch (error) {
    throw fileError(error, 'cannot read', name);
  } finally {
    await file?.close();
  }
}

/** The beginning of a file, of which `bytes` were read before. */
async function grow(file: FileHandle, bytes: Buffer, length: number, name: string): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  bytes.copy(buffer);
  for (let done = bytes.byteLength; done < length;) {
    const { bytesRead } = await file.read(buffer, done, length - done, done);
    if (bytesRead === 0)
      throw new CalyxError('changed', `${name} became shorter while it was read`, { hint: 'run it again' });
    done += bytesRead;
  }
  return buffer;
}
