import { checkRange } from '../../core/byte-range.js';
import { sha256, type Digest } from '../../core/digest.js';
import { staticLease, subLease, type ByteSource, type Lease, type ReadOptions } from '../byte-source.js';
import { WrongChunkError, chunksOf, type ChunkLookup } from '../chunk-lookup.js';

export { WrongChunkError, type ChunkDigest, type ChunkLookup } from '../chunk-lookup.js';

/**
 * Reads whole chunks and compares each with its SHA-256 before anything is passed on. A chunk that does not match is an error
 * `corrupt`, which names the source, so that a failover above can ask another one.
 */
export class VerifyLayer implements ByteSource {
  readonly name: string;
  readonly #inner: ByteSource;
  readonly #chunks: ChunkLookup;

  constructor(inner: ByteSource, chunks: ChunkLookup) {
    this.name = inner.name;
    this.#inner = inner;
    this.#chunks = chunks;
  }

  async read(blob: Digest, offset: number, length: number, options?: ReadOptions): Promise<Lease> {
    checkRange(offset, length);
    if (length === 0) return staticLease();
    const chunks = chunksOf(this.#chunks, blob, offset, length);
    const start = chunks[0]?.offset ?? offset;
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    const whole = await this.#inner.read(blob, start, bytes, options);
    try {
      for (const chunk of chunks) {
        const { parts } = subLease(whole, chunk.offset - start, chunk.length);
        if (sha256(...parts) !== chunk.digest) throw new WrongChunkError(this.name, blob, chunk);
      }
    } catch (error) {
      whole.release();
      throw error;
    }
    return subLease(whole, offset - start, length);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
