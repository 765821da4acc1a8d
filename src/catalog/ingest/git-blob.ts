import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';

/**
 * The id that git gives to a file's content: the SHA-1 of `blob SIZE`, a zero byte and the content, 40 hex digits. It tells a file that
 * was not moved whole; it is no proof against who makes collisions on purpose. Rejects with the system's error.
 */
export async function gitBlobId(path: string, signal?: AbortSignal): Promise<string> {
  const { size } = await stat(path);
  const hash = createHash('sha1').update(`blob ${size}\0`);
  for await (const piece of createReadStream(path, { signal }) as AsyncIterable<Uint8Array>)
    hash.update(piece);
  return hash.digest('hex');
}
