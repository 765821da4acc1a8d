import { checkRange } from '../../src/core/byte-range.js';
import type { Digest } from '../../src/core/digest.js';
import { CalyxError } from '../../src/core/errors.js';
import type { BufferPool } from '../../src/storage/buffer-pool.js';
import type { ByteSource, Lease, ReadOptions } from '../../src/storage/byte-source.js';

/** The simplest source that keeps the contract: blobs in memory, copied into buffers of a pool. */
export class MemorySource implements ByteSource {
  readonly name: string;
  readonly #blobs: ReadonlyMap<Digest, Uint8Array>;
  readonly #pool: BufferPool;
  #closed = false;

  constructor(name: string, blobs: ReadonlyMap<Digest, Uint8Array>, pool: BufferPool) {
    this.name = name;
    this.#blobs = blobs;
    this.#pool = pool;
  }

  async read(blob: Digest, offset: number, length: number, { signal }: ReadOptions = {}): Promise<Lease> {
    signal?.throwIfAborted();
    checkRange(offset, length);
    if (this.#closed) throw new CalyxError('unavailable', `${this.name} is closed`);
    const bytes = this.#blobs.get(blob);
    if (bytes === undefined) throw new CalyxError('not-found', `${this.name} does not have the blob ${blob}`);
    if (offset + length > bytes.byteLength)
      throw new CalyxError('corrupt', `${this.name}: the blob is shorter`);
    const lease = await this.#pool.take(length, signal);
    lease.buffer.set(bytes.subarray(offset, offset + length));
    return lease;
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }
}
