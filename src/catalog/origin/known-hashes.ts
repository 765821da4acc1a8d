import { appendFile, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import type { Extent } from '../../core/byte-range.js';
import { ChunkLayout } from '../../core/chunking.js';
import { DIGEST_BYTES, isDigest, sha256 } from '../../core/digest.js';
import { makeDirectories } from '../../storage/files/make-directories.js';
import type { RemoteFile } from '../../storage/remote/remote-model.js';
import type { HashResult } from '../ingest/hash-file.js';
import type { Manifest } from '../manifest.js';
import type { OriginRecord } from './origin-record.js';

const lineSchema = z.strictObject({
  key: z.string(),
  blob: z.string().refine(isDigest),
  chunks: z.string(),
});

/**
 * Digests of objects that were read before: for an earlier revision, or for this one before a kill. They are kept by path, size, ETag and how the
 * file is cut, so that what changed is not found. A line cut off by a kill is passed over.
 */
export class KnownHashes {
  readonly #path: string;
  readonly #known = new Map<string, HashResult>();

  private constructor(path: string) {
    this.#path = path;
  }

  /** @param path where digests are kept until {@link KnownHashes.drop}; what cannot be read there is hashed again */
  static async open(path: string): Promise<KnownHashes> {
    const known = new KnownHashes(path);
    const text = await readFile(path, 'utf8').catch(() => '');
    for (const line of text.split('\n')) {
      const parsed = lineSchema.safeParse(parseLine(line));
      if (!parsed.success) continue;
      const { key, blob, chunks } = parsed.data;
      known.#known.set(key, { blob, chunkDigests: Buffer.from(chunks, 'base64') });
    }
    return known;
  }

  /** Takes those of a revision. */
  learn(manifest: Manifest, { files }: OriginRecord): void {
    for (const from of files) {
      const file = manifest.file(from.path);
      if (file === undefined) continue;
      const { blob, chunkDigests, tensors } = file;
      this.#known.set(keyOf(from, tensors), { blob, chunkDigests });
    }
  }

  find(file: RemoteFile, tensors: readonly Extent[]): HashResult | undefined {
    const found = this.#known.get(keyOf(file, tensors));
    if (found === undefined) return undefined;
    return found.chunkDigests.byteLength === ChunkLayout.of(file.size, tensors).count * DIGEST_BYTES
      ? found
      : undefined;
  }

  /** Keeps one. A disk that does not take it costs that it is hashed again after a kill. */
  async add(file: RemoteFile, tensors: readonly Extent[], result: HashResult): Promise<void> {
    const key = keyOf(file, tensors);
    this.#known.set(key, result);
    const chunks = Buffer.from(result.chunkDigests).toString('base64');
    try {
      await makeDirectories(dirname(this.#path));
      // The line break before it ends a line that was cut off.
      await appendFile(this.#path, `\n${JSON.stringify({ key, blob: result.blob, chunks })}\n`);
    } catch {
      // As the comment above says.
    }
  }

  /** Forgets what is kept on the disk: the manifest has it now. */
  async drop(): Promise<void> {
    await rm(this.#path, { force: true });
  }
}

function keyOf({ path, size, version }: RemoteFile, tensors: readonly Extent[]): string {
  const cut = sha256(JSON.stringify(tensors.map(({ offset, length }) => [offset, length])));
  return `${size} ${version ?? ''} ${cut} ${path}`;
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
