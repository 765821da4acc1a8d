import { sha256 } from '../../core/digest.js';
import { CalyxError } from '../../core/errors.js';
import type { Manifest } from '../../catalog/manifest.js';
import type { TextFile } from '../../inference/text-file.js';
import type { StoreClient } from '../../protocols/http/store-client.js';

/** The largest tokenizers have about 35 MB. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;

/**
 * Reads one of a revision's small files from the stores.
 *
 * @returns undefined if the revision has no such file
 * @throws CalyxError `corrupt`, `unavailable`
 */
export async function readModelFile(
  client: StoreClient,
  manifest: Manifest,
  path: string,
  signal?: AbortSignal,
): Promise<TextFile | undefined> {
  const file = manifest.file(path);
  if (file === undefined) return undefined;
  if (file.size > MAX_FILE_BYTES)
    throw new CalyxError('invalid-model', `${path} has ${file.size} bytes, too many for a file of its kind`);
  const bytes = await client.first(async (store) => {
    const content = await store.bytes(`/v1/blobs/${file.blob}`, { maxBytes: MAX_FILE_BYTES, signal });
    if (sha256(content) === file.blob) return content;
    throw new CalyxError('corrupt', `${store.url} sent a ${path} that does not match its SHA-256`, {
      hint: "run 'calyx verify' on the store",
    });
  }, signal);
  return { name: path, text: Buffer.from(bytes).toString('utf8') };
}
