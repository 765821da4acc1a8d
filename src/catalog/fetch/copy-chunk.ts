import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256 } from '../../core/digest.js';
import { CalyxError, fileError } from '../../core/errors.js';
import type { LocalCopy } from './slice-plan.js';
import { writeFully } from './write-fully.js';

/**
 * Copies a chunk within a slice's directory, and verifies it on the way.
 *
 * @throws CalyxError `changed` if it is no longer what it was, `disk-full`, `unreadable`
 */
export async function copyChunk(directory: string, { from, to, length, digest }: LocalCopy): Promise<void> {
  const bytes = Buffer.allocUnsafe(length);
  const source = await open(join(directory, from.file), 'r');
  try {
    const { bytesRead } = await source.read(bytes, 0, length, from.position);
    if (bytesRead !== length || sha256(bytes) !== digest) {
      throw new CalyxError('changed', `${join(directory, from.file)} changed while the slice was made`, {
        hint: 'run the command again',
      });
    }
  } finally {
    await source.close();
  }
  const target = await open(join(directory, to.file), 'r+');
  try {
    await writeFully(target, bytes, to.position);
  } catch (error) {
    throw fileError(error, 'cannot write', join(directory, to.file));
  } finally {
    await target.close();
  }
}
