import { appendFile, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import type { Extent } from '../../core/byte-range.js';
import { isDigest, sha256, type Digest } from '../../core/digest.js';
import { fileError, systemCode } from '../../core/errors.js';
import { makeDirectories } from '../../storage/files/make-directories.js';
import type { HashResult } from './hash-file.js';
import { sameFile, type SourceFile } from './scan.js';

const lineSchema = z.strictObject({
  path: z.string(),
  realPath: z.string(),
  size: z.number(),
  inode: z.string(),
  mtimeNs: z.string(),
  cut: z.string(),
  blob: z.string().refine(isDigest),
  chunks: z.string(),
});

/**
 * Remembers which files an earlier `add` has hashed and copied. One line a file, appended after its copy was synced. A line
 * cut off by a kill is passed over.
 */
export class StagingJournal {
  readonly #path: string;
  readonly #done = new Map<string, z.infer<typeof lineSchema>>();

  private constructor(path: string) {
    this.#path = path;
  }

  /** Reads what is there. Rejects with CalyxError `unreadable`. */
  static async open(path: string): Promise<StagingJournal> {
    const journal = new StagingJournal(path);
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      if (systemCode(error) === 'ENOENT') return '';
      throw fileError(error, 'cannot read', path);
    });
    for (const line of text.split('\n')) {
      const record = lineSchema.safeParse(parseLine(line));
      if (record.success) journal.#done.set(record.data.path, record.data);
    }
    // So that a line that was cut off does not swallow the next one.
    if (text !== '' && !text.endsWith('\n')) await appendFile(path, '\n');
    return journal;
  }

  /**
   * What an earlier run found for this very file, or undefined if there was none or the file changed. Whether a file is cut
   * at its tensors depends on the index, which may have changed although the file did not.
   */
  find(file: SourceFile, tensors: readonly Extent[]): HashResult | undefined {
    const line = this.#done.get(file.path);
    if (line === undefined || line.realPath !== file.realPath || !sameFile(line, file)) return undefined;
    if (line.cut !== cutOf(tensors)) return undefined;
    return { blob: line.blob, chunkDigests: Buffer.from(line.chunks, 'base64') };
  }

  /** Remembers a file. */
  async add(file: SourceFile, tensors: readonly Extent[], { blob, chunkDigests }: HashResult): Promise<void> {
    const { path, realPath, size, inode, mtimeNs } = file;
    const line = {
      path,
      realPath,
      size,
      inode,
      mtimeNs,
      cut: cutOf(tensors),
      blob,
      chunks: Buffer.from(chunkDigests).toString('base64'),
    };
    await makeDirectories(dirname(this.#path));
    const journal = await open(this.#path, 'a');
    try {
      await journal.appendFile(`${JSON.stringify(line)}\n`);
      await journal.datasync();
    } finally {
      await journal.close();
    }
  }
}

function cutOf(tensors: readonly Extent[]): Digest {
  return sha256(JSON.stringify(tensors.map(({ offset, length }) => [offset, length])));
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
