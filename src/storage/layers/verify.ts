import { checkRange } from '../../core/byte-range.js';
import { sha256, type Digest } from '../../core/digest.js';
import { CalyxError } from '../../core/errors.js';
import { staticLease, subLease, type ByteSource, type Lease, type ReadOptions } from '../byte-source.js';

/** A chunk of a blob: where it lies and its SHA-256. */
export interface ChunkDigest {
  readonly offset: number;
  readonly length: number;
  readonly digest: Digest;
}

/**
 * The chunks that hold any byte of a range of a blob: in order, without gaps; undefined if the blob is not known.
 */
export type ChunkLookup = (
  blob: Digest,
  offset: number,
  length: number,
) => readonly ChunkDigest[] | undefined;

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
    const chunks = this.#chunks(blob, offset, length);
    const first = chunks?.[0];
    const last = chunks?.at(-1);
    if (chunks === undefined || first === undefined || last === undefined) {
      throw new CalyxError(
        'internal',
        `the chunks of the blob ${blob} are not known, so it cannot be verified`,
      );
    }
    const end = last.offset + last.length;
    if (offset < first.offset || offset + length > end) {
      throw new CalyxError(
        'usage',
        `${length} bytes at ${offset} reach past the chunks ${first.offset} to ${end} of the blob ${blob}`,
      );
    }
    const whole = await this.#inner.read(blob, first.offset, end - first.offset, options);
    try {
      for (const chunk of chunks) {
        const bytes = subLease(whole, chunk.offset - first.offset, chunk.length).parts;
        if (sha256(...bytes) !== chunk.digest) throw new WrongChunkError(this.name, blob, chunk);
      }
    } catch (error) {
      whole.release();
      throw error;
    }
    return subLease(whole, offset - first.offset, length);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}

/** A chunk that does not have the content that the manifest says. */
export class WrongChunkError extends CalyxError {
  readonly source: string;
  readonly blob: Digest;
  readonly chunk: ChunkDigest;

  constructor(source: string, blob: Digest, chunk: ChunkDigest) {
    super(
      'corrupt',
      `${source} sent wrong bytes: ${chunk.length} at ${chunk.offset} of the blob ${blob} do not match their SHA-256`,
      {
        hint: "run 'calyx verify' on the store",
      },
    );
    this.source = source;
    this.blob = blob;
    this.chunk = chunk;
  }
}
