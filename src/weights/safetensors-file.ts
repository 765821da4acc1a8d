import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { CalyxError, fileError } from '../core/errors.js';
import { HEADER_LENGTH_BYTES, parseHeader, parseHeaderLength } from './safetensors-header.js';
import type { Tensor } from './tensor.js';

/** A weight file's size in bytes and its tensors, ascending by offset. */
export interface SafetensorsFile {
  readonly size: number;
  readonly tensors: readonly Tensor[];
}

/**
 * Reads the header of a safetensors file, and nothing else of it.
 *
 * @param path where it is
 * @param name what to call it in errors
 * @throws CalyxError `invalid-model`, `not-found`, `unreadable`
 */
export async function readSafetensorsFile(path: string, name = path): Promise<SafetensorsFile> {
  let file: FileHandle | undefined;
  try {
    // Without O_NONBLOCK, a FIFO of this name would be waited for.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const info = await file.stat();
    if (!info.isFile()) throw new CalyxError('invalid-model', `${name} is not a regular file`);
    const lengthField = await readFully(file, 0, Math.min(HEADER_LENGTH_BYTES, info.size), name);
    const length = parseHeaderLength(lengthField, info.size, name);
    const json = await readFully(file, HEADER_LENGTH_BYTES, length, name);
    return { size: info.size, tensors: parseHeader(json, info.size, name) };
  } catch (error) {
    throw fileError(error, 'cannot read', name);
  } finally {
    await file?.close();
  }
}

async function readFully(
  file: FileHandle,
  position: number,
  length: number,
  name: string,
): Promise<Uint8Array> {
  const buffer = Buffer.allocUnsafe(length);
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(buffer, done, length - done, position + done);
    if (bytesRead === 0)
      throw new CalyxError('changed', `${name} became shorter while it was read`, { hint: 'run it again' });
    done += bytesRead;
  }
  return buffer;
}
