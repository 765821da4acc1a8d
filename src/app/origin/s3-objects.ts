import { systemClock, wallClock } from '../../core/clock.js';
import { CalyxError, isCalyxError } from '../../core/errors.js';
import type { ObjectBucket, StoredObject } from '../../storage/object-bucket.js';
import { S3Bucket } from '../../storage/remote/s3-bucket.js';
import { parseS3Location, type S3Location } from '../../storage/remote/s3-location.js';

/** Credentials are looked for again at most so often. */
const RENEW_EVERY_MS = 5_000;
/** When a client with credentials that do not count any more is closed. */
const OLD_MS = 600_000;

/** A bucket of S3 as the port of objects; when its credentials do not count any more, those of the moment are looked for. */
export class S3Objects implements ObjectBucket {
  readonly name: string;
  readonly #location: S3Location;
  /** Undefined until it is asked for the first time. */
  #bucket: Promise<S3Bucket> | undefined;
  #openedAt = 0;
  readonly #closing = new AbortController();

  /** @param text `s3://BUCKET[/PREFIX]`. Throws CalyxError `usage`. */
  constructor(text: string) {
    this.#location = parseS3Location(text);
    const { bucket, prefix } = this.#location;
    this.name = `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}`;
  }

  async list(signal: AbortSignal): Promise<readonly StoredObject[]> {
    const objects = await this.#with((bucket) => bucket.list(signal));
    return objects.map(({ key, size, etag }) => ({ key, size, version: etag }));
  }

  read(
    { key, size, version }: StoredObject,
    offset: number,
    target: Uint8Array,
    signal: AbortSignal,
  ): Promise<void> {
    if (offset + target.byteLength > size)
      throw new CalyxError('usage', `${key} has ${size} bytes, and more were asked for`);
    return this.#with((bucket) => bucket.read(key, offset, target, { signal, ifMatch: version }));
  }

  async put(key: string, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    await this.#with((bucket) => bucket.put(key, bytes, signal));
  }

  async close(): Promise<void> {
    this.#closing.abort(new CalyxError('unavailable', `${this.name} is closed`));
    const bucket = await this.#bucket?.catch(() => undefined);
    await bucket?.close();
  }

  #open(): Promise<S3Bucket> {
    this.#openedAt = systemClock.now();
    const bucket = S3Bucket.open(this.#location, {}, this.#closing.signal);
    // Whoever asks is told.
    bucket.catch(() => undefined);
    this.#bucket = bucket;
    return bucket;
  }

  async #with<T>(ask: (bucket: S3Bucket) => Promise<T>): Promise<T> {
    const used = this.#bucket ?? this.#open();
    try {
      return await ask(await used);
    } catch (error) {
      if (isCalyxError(error, 'unauthenticated')) this.#renew(used);
      throw error;
    }
  }

  /** The next call finds new credentials, if there are any; calls under way end as they end. */
  #renew(used: Promise<S3Bucket>): void {
    const now = systemClock.now();
    if (this.#bucket !== used || this.#closing.signal.aborted || now - this.#openedAt < RENEW_EVERY_MS)
      return;
    void this.#open();
    // What is under way there has its own deadlines, which are shorter.
    const close = async (): Promise<void> => (await used).close();
    wallClock
      .sleep(OLD_MS, this.#closing.signal)
      .then(close, close)
      .catch(() => undefined);
  }
}
