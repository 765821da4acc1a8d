import { checkRange } from '../../core/byte-range.js';
import { abortReason } from '../../core/clock.js';
import type { Digest } from '../../core/digest.js';
import { CalyxError, isCalyxError } from '../../core/errors.js';
import type { BufferPool } from '../buffer-pool.js';
import { staticLease, type ByteSource, type Lease, type ReadOptions } from '../byte-source.js';
import type { ObjectBucket, StoredObject } from '../object-bucket.js';

/** An object that had a blob's content when its manifest was made, and whose that is. */
export interface BlobObject {
  readonly object: StoredObject;
  /** What messages call it: `ORG/NAME@REVISION`. */
  readonly owner: string;
}

/**
 * Reads blobs from the objects of a bucket. An object that was replaced since is never read: another one with the same content is,
 * or the read fails with `changed`.
 */
export class S3Source implements ByteSource {
  readonly name: string;
  readonly #bucket: ObjectBucket;
  readonly #objects: (blob: Digest) => readonly BlobObject[];
  readonly #pool: BufferPool;
  readonly #closing = new AbortController();

  /**
   * @param objects those that may have a blob's content, the likeliest first; none if it is not known
   * @param pool lends the buffers
   */
  constructor(bucket: ObjectBucket, objects: (blob: Digest) => readonly BlobObject[], pool: BufferPool) {
    this.name = bucket.name;
    this.#bucket = bucket;
    this.#objects = objects;
    this.#pool = pool;
  }

  async read(blob: Digest, offset: number, length: number, { signal }: ReadOptions = {}): Promise<Lease> {
    signal?.throwIfAborted();
    checkRange(offset, length);
    if (this.#closing.signal.aborted) throw abortReason(this.#closing.signal);
    if (length === 0) return staticLease();
    const objects = this.#objects(blob);
    if (objects.length === 0)
      throw new CalyxError('not-found', `${this.name} does not have the blob ${blob}`);
    const both =
      signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
    const lease = await this.#pool.take(length, both);
    try {
      await this.#fill(objects, offset, lease.buffer, both);
      return lease;
    } catch (error) {
      lease.release();
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(new CalyxError('unavailable', `${this.name} is closed`));
    await this.#bucket.close();
  }

  async #fill(
    objects: readonly BlobObject[],
    offset: number,
    target: Uint8Array,
    signal: AbortSignal,
  ): Promise<void> {
    let gone: CalyxError | undefined;
    for (const { object, owner } of objects) {
      try {
        await this.#bucket.read(object, offset, target, signal);
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (!isCalyxError(error, 'changed', 'not-found')) throw mayPass(error, this.name);
        const happened = error.code === 'changed' ? 'replaced' : 'removed';
        gone ??= new CalyxError(
          'changed',
          `${object.key} was ${happened} in ${this.name}, so ${owner} cannot be read any more`,
          { hint: "use the model's current revision, or put the object back as it was", cause: error },
        );
      }
    }
    throw gone ?? new CalyxError('internal', 'a blob has no object');
  }
}

/** Credentials that have expired are renewed by whoever made them, so for a while a read waits for that. */
function mayPass(error: unknown, name: string): unknown {
  if (!isCalyxError(error, 'refused', 'unauthenticated')) return error;
  return new CalyxError('unavailable', `${name} cannot be read: ${error.message}`, {
    hint: error.hint ?? 'renew the credentials of the store',
    cause: error,
  });
}
