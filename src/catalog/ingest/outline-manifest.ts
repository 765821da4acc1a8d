import { ChunkLayout } from '../../core/chunking.js';
import { DIGEST_BYTES, sha256 } from '../../core/digest.js';
import { fileCuts, Manifest, type ManifestFile } from '../manifest.js';
import { weightFiles } from './weight-files.js';
import { readModelSource } from './model-source.js';

/**
 * The manifest of a model directory as its headers alone tell it: for planning, in seconds also for hundreds of gigabytes. Its
 * digests are placeholders of which no two are equal, so equal content is not recognised.
 *
 * @throws CalyxError as `readModelSource` does
 */
export async function outlineManifest(directory: string): Promise<Manifest> {
  const { files: listed, weights } = await readModelSource(directory);
  const inside = weightFiles(weights);
  let chunks = 0;
  const files = listed.map(({ path, size }): ManifestFile => {
    const own = inside.get(path) ?? { tensors: [] };
    const { count } = ChunkLayout.of(size, fileCuts(own));
    const chunkDigests = Buffer.alloc(count * DIGEST_BYTES);
    for (let index = 0; index < count; index += 1)
      chunkDigests.writeUInt32BE((chunks += 1), index * DIGEST_BYTES);
    return { path, size, blob: sha256(`the content of ${path}`), chunkDigests, ...own };
  });
  return new Manifest(files, weights.map);
}
