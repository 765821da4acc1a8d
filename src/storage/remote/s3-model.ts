import { CalyxError, isCalyxError } from '../../core/errors.js';
import { mapLimited } from '../../core/map-limited.js';
import type { RemoteFile, RemoteModel } from './remote-model.js';
import { S3Bucket, type S3BucketOptions, type S3Object } from './s3-bucket.js';
import type { S3Location } from './s3-location.js';

/** More objects than that are not one model. */
const MAX_FILES = 10_000;
/** Of the questions for checksums, at the same time. */
const QUESTIONS = 8;
/** Of one question: a listing of many files would else never come to its end where each hundredth question fails. */
const ATTEMPTS = 3;

/**
 * A model in object storage: the objects under a prefix. Where the storage has the SHA-256 of a whole object it becomes the file's; ETags
 * only tell that an object is still the same. Buckets have no revisions, so the revision follows from the content.
 */
export class S3Model implements RemoteModel {
  readonly name: string;
  readonly files: readonly RemoteFile[];
  /** True if no credentials were found: requests are not signed. */
  readonly anonymous: boolean;
  readonly #bucket: S3Bucket;
  readonly #etags: ReadonlyMap<RemoteFile, string>;

  private constructor(bucket: S3Bucket, etags: ReadonlyMap<RemoteFile, string>) {
    this.name = bucket.name;
    this.anonymous = bucket.anonymous;
    this.files = [...etags.keys()];
    this.#bucket = bucket;
    this.#etags = etags;
  }

  /**
   * Lists what is under the prefix, and asks of each object whether its checksum is known.
   *
   * @throws CalyxError as {@link S3Bucket} does; `not-found` if nothing is there; `changed` for an object that is replaced meanwhile
   */
  static async open(location: S3Location, options: S3BucketOptions, signal: AbortSignal): Promise<S3Model> {
    const bucket = await S3Bucket.open(location, options, signal);
    try {
      const objects = await bucket.list(signal);
      if (objects.length === 0)
        throw new CalyxError('not-found', `there is nothing under ${bucket.name}/`, {
          hint: 'name the prefix under which config.json lies, as s3://BUCKET/PREFIX; keys are case-sensitive',
        });
      if (objects.length > MAX_FILES)
        throw new CalyxError('unsupported', `${bucket.name}/ holds more than ${MAX_FILES} objects`, {
          hint: 'name the prefix of one model',
        });
      const files = await mapLimited(objects, QUESTIONS, (object) => describe(bucket, object, signal));
      return new S3Model(bucket, new Map(files.map((file, at) => [file, objects[at]?.etag ?? ''])));
    } catch (error) {
      await bucket.close();
      throw error;
    }
  }

  async read(file: RemoteFile, offset: number, target: Uint8Array, signal: AbortSignal): Promise<void> {
    const ifMatch = this.#etags.get(file);
    try {
      await this.#bucket.read(file.path, offset, target, {
        signal,
        ...(ifMatch !== undefined && { ifMatch }),
      });
    } catch (error) {
      throw isCalyxError(error, 'not-found') ? changed(this.name, file.path, error) : error;
    }
  }

  close(): Promise<void> {
    return this.#bucket.close();
  }
}

async function describe(bucket: S3Bucket, object: S3Object, signal: AbortSignal): Promise<RemoteFile> {
  const { key, size, etag } = object;
  for (let attempt = 1; ; attempt += 1) {
    try {
      const head = await bucket.head(key, { signal, ifMatch: etag });
      if (head.size !== size || head.etag !== etag) throw changed(bucket.name, key);
      const version = head.versionId === undefined ? etag : `${etag} ${head.versionId}`;
      return { path: key, size, version, ...(head.sha256 !== undefined && { sha256: head.sha256 }) };
    } catch (error) {
      if (isCalyxError(error, 'not-found')) throw changed(bucket.name, key, error);
      if (attempt >= ATTEMPTS || !isCalyxError(error, 'unavailable', 'timeout')) throw error;
    }
  }
}

function changed(name: string, key: string, cause?: unknown): CalyxError {
  return new CalyxError('changed', `${key} in ${name} has changed or is gone; nothing was published`, {
    hint: 'run this again, which lists the bucket anew',
    cause,
  });
}
