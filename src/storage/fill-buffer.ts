import type { FileHandle } from 'node:fs/promises';
import { CalyxError } from '../core/errors.js';

/**
 * Fills the whole of `buffer` from `offset` of a file.
 *
 * @throws CalyxError `corrupt` if the file ends before
 */
export async function fillBuffer(
  handle: FileHandle,
  buffer: Uint8Array,
  offset: number,
  path: string,
): Promise<void> {
  for (let done = 0; done < buffer.byteLength;) {
    const { bytesRead } = await handle.read(buffer, done, buffer.byteLength - done, offset + done);
    if (bytesRead === 0) {
      throw new CalyxError(
        'corrupt',
        `${path} ends at ${offset + done}, but ${buffer.byteLength - done} more bytes were asked for`,
        {
          hint: "the file was cut off or the request is wrong; 'calyx verify' tells",
        },
      );
    }
    done += bytesRead;
  }
}
