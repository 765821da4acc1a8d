import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256 } from '../../core/digest.js';
import { CalyxError, fileError } from '../../core/errors.js';
import type { LocalCopy } from './slice-plan.js';
import { openOwn } from './open-own.js';
import { writeFully } from './write-fully.js';

/**
 * Copies a chunk within a slice's directory, and verifies it on the way.
 *
 * @throws CalyxError `changed` if it is no longer what it was, `disk-full`, `unreadable`
 */
export async function copyChunk(directory: string, { from, to, length, digest }: LocalCopy): Promise<void> {
  const bytes = Buffer.allocUnsafe(length);
  await withFile(join(directory, from.file), 'cannot read', async (source) => {
    const { bytesRead } = await source.read(bytes, 0, length, from.position);
    if (bytesRead === length && sha256(bytes) === digest) return;
    throw new CalyxError('changed', `${join(directory, from.file)} changed while the slice was made`, {
      hint: 'run the command again',
    });
  });
  await withFile(join(directory, to.file), 'cannot write', (target) =>
    writeFully(target, bytes, to.position),
  );
}

async function withFile(
  path: string,
  doing: string,
  use: (file: FileHandle) => Promise<void>,
): Promise<void> {
  try {
    const file = await openOwn(path);
    try {
      await use(file);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fileError(error, doing, path);
  }
}
