import type { FileHandle } from 'node:fs/promises';
import { CalyxError } from '../../core/errors.js';

/**
 * Writes all of `bytes`. A single write may take fewer, without an error, when the disk is nearly full.
 *
 * @throws the system's error, or CalyxError `disk-full`
 */
export async function writeFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.byteLength - done, position + done);
    if (bytesWritten === 0) throw new CalyxError('disk-full', 'the system took no more bytes');
    done += bytesWritten;
  }
}
