import type { Readable } from 'node:stream';
import { CalyxError, isCalyxError } from '../../core/errors.js';
import { connectS3, type S3Connection } from './s3-client.js';
import { s3Error, type S3Question } from './s3-errors.js';
import { formatS3Location, s3Settings, type S3Location, type S3Settings } from './s3-location.js';
import { Stall } from './stall.js';

/** Options of {@link S3Bucket.open}. */
export interface S3BucketOptions {
  /** @default those of the environment */
  readonly settings?: S3Settings;
  /** Longest wait for a connection, the head of an answer, and each next byte of it. @default 30000 */
  readonly stallMs?: number;
  /** A read that is slower than this on average ends. @default 16384 (16 KiB) */
  readonly minBytesPerSecond?: number;
}

/** What a listing tells of an object. */
export interface S3Object {
  /** Within the location. */
  readonly key: string;
  /** In bytes. */
  readonly size: number;
  /** As the storage writes it, with its quotes. Another one for another content. */
  readonly etag: string;
}

/** What is known of one object. */
export interface S3Head extends S3Object {
  /** Where the bucket keeps versions. */
  readonly versionId?: string;
  /** Of the whole content, 64 hex digits, where whoever put it there has told. */
  readonly sha256?: string;
}

/** Options of reads. */
export interface S3ReadOptions {
  readonly signal: AbortSignal;
  /** Fails with `changed` if the object has another ETag. */
  readonly ifMatch?: string;
  readonly versionId?: string;
}

const DEFAULTS = { stallMs: 30_000, minBytesPerSecond: 16 * 1024 } as const;
/** More than any model has. */
const MAX_OBJECTS = 200_000;
const MAX_PAGES = 2_000;

/**
 * What lies in a bucket under a prefix; keys are those within it. Every call is one attempt with a deadline of its own, which the caller
 * may repeat. The owner closes it.
 *
 * All calls throw CalyxError: `unavailable`, `timeout` and `limited` may pass; `not-found`, `refused`, `unauthenticated`, `changed` and
 * `unsupported` do not. They reject with the signal's reason when it is aborted.
 */
export class S3Bucket {
  readonly location: S3Location;
  /** `s3://BUCKET/PREFIX`. */
  readonly name: string;
  /** True if no credentials were found: requests are not signed. */
  readonly anonymous: boolean;
  readonly #connection: S3Connection;
  readonly #stallMs: number;
  readonly #minBytesPerSecond: number;

  private constructor(location: S3Location, connection: S3Connection, options: S3BucketOptions) {
    this.location = location;
    this.name = formatS3Location(location);
    this.anonymous = connection.anonymous;
    this.#connection = connection;
    this.#stallMs = options.stallMs ?? DEFAULTS.stallMs;
    this.#minBytesPerSecond = options.minBytesPerSecond ?? DEFAULTS.minBytesPerSecond;
  }

  /** Finds credentials; asks the storage nothing yet. */
  static async open(location: S3Location, options: S3BucketOptions, signal: AbortSignal): Promise<S3Bucket> {
    const stallMs = options.stallMs ?? DEFAULTS.stallMs;
    const stall = new Stall(signal, stallMs);
    try {
      const connecting = connectS3(options.settings ?? s3Settings(), location.bucket, stallMs);
      return new S3Bucket(location, await stall.race(connecting), options);
    } catch (error) {
      throw stall.reason(
        error,
        () => new CalyxError('timeout', 'no credentials for object storage within the time'),
      );
    } finally {
      stall.end();
    }
  }

  /** All objects of the location, in the order of their keys. Names that end with `/` stand for directories and are left out. */
  async list(signal: AbortSignal): Promise<S3Object[]> {
    const { bucket, prefix } = this.location;
    const asked = this.#asked('s3:ListBucket');
    const objects: S3Object[] = [];
    const start = prefix === '' ? '' : `${prefix}/`;
    let token: string | undefined;
    for (let pages = 0; ; pages += 1) {
      if (pages >= MAX_PAGES || objects.length > MAX_OBJECTS)
        throw new CalyxError('unsupported', `${this.name} holds more than ${MAX_OBJECTS} objects`, {
          hint: 'name the prefix of one model',
        });
      const page = await this.#ask(asked, signal, (abortSignal) => {
        const { client, sdk } = this.#connection;
        const input = {
          Bucket: bucket,
          Prefix: start,
          ...(token !== undefined && { ContinuationToken: token }),
        };
        return client.send(new sdk.ListObjectsV2Command(input), { abortSignal });
      });
      for (const { Key: key, Size: size, ETag: etag } of page.Contents ?? []) {
        if (
          key === undefined ||
          size === undefined ||
          etag === undefined ||
          !key.startsWith(start) ||
          !isSize(size)
        )
          throw this.#wrong('sends a listing that is not one');
        if (!key.endsWith('/')) objects.push({ key: key.slice(start.length), size, etag });
      }
      const next = page.NextContinuationToken;
      if (page.IsTruncated !== true) return objects;
      if (next === undefined || next === token) throw this.#wrong('sends a listing that does not go on');
      token = next;
    }
  }

  /** What is known of one object, with its checksum where there is one. */
  async head(key: string, { signal, ifMatch }: S3ReadOptions): Promise<S3Head> {
    const asked = this.#asked('s3:GetObject', key);
    const found = await this.#ask(asked, signal, (abortSignal) => {
      const { client, sdk } = this.#connection;
      const input = {
        ...this.#object(key),
        ChecksumMode: 'ENABLED' as const,
        ...(ifMatch !== undefined && { IfMatch: ifMatch }),
      };
      return client.send(new sdk.HeadObjectCommand(input), { abortSignal });
    });
    const { ContentLength: size, ETag: etag, VersionId: versionId } = found;
    if (size === undefined || etag === undefined || !isSize(size))
      throw this.#wrong(`does not describe ${key}`);
    const sha256 = found.ChecksumType === 'COMPOSITE' ? undefined : wholeSha256(found.ChecksumSHA256);
    return {
      key,
      size,
      etag,
      // Buckets without versions may call the only one `null`.
      ...(versionId !== undefined && versionId !== 'null' && { versionId }),
      ...(sha256 !== undefined && { sha256 }),
    };
  }

  /** Fills the whole of `target` with an object's bytes from `offset`. */
  async read(key: string, offset: number, target: Uint8Array, options: S3ReadOptions): Promise<void> {
    if (target.byteLength === 0) return;
    const asked = this.#asked('s3:GetObject', key);
    const last = offset + target.byteLength - 1;
    await this.#get(
      asked,
      key,
      { Range: `bytes=${offset}-${last}` },
      options,
      target.byteLength,
      async (answer, stall) => {
        if (answer.ContentRange?.startsWith(`bytes ${offset}-${last}/`) !== true) {
          // Who does not know ranges sends the whole, which is as good if the whole was asked for.
          if (answer.ContentRange !== undefined || offset > 0 || answer.ContentLength !== target.byteLength)
            throw new CalyxError(
              'unsupported',
              `${asked.endpoint} does not send the range of ${key} that it was asked for`,
            );
        }
        let done = 0;
        for await (const piece of answer.body) {
          stall.touch();
          if (done + piece.byteLength > target.byteLength)
            throw new CalyxError(
              'unavailable',
              `${asked.endpoint} sent more bytes of ${key} than it was asked for`,
            );
          target.set(piece, done);
          done += piece.byteLength;
        }
        if (done < target.byteLength)
          throw new CalyxError(
            'unavailable',
            `${asked.endpoint} ended after ${done} of ${target.byteLength} bytes of ${key}`,
          );
      },
    );
  }

  /** A small object, whole; throws `unsupported` if it has more than `maxBytes`. */
  async get(
    key: string,
    maxBytes: number,
    options: S3ReadOptions,
  ): Promise<{ readonly bytes: Uint8Array; readonly etag: string }> {
    const asked = this.#asked('s3:GetObject', key);
    return this.#get(asked, key, {}, options, maxBytes, async (answer, stall) => {
      const pieces: Uint8Array[] = [];
      let size = 0;
      for await (const piece of answer.body) {
        stall.touch();
        size += piece.byteLength;
        if (size > maxBytes)
          throw new CalyxError('unsupported', `${key} in ${this.name} has more than ${maxBytes} bytes`);
        pieces.push(piece);
      }
      if (answer.ContentLength !== undefined && size !== answer.ContentLength)
        throw new CalyxError('unavailable', `${asked.endpoint} ended after ${size} bytes of ${key}`);
      return { bytes: Buffer.concat(pieces), etag: answer.ETag ?? '' };
    });
  }

  /** Puts a small object, with a SHA-256 by which the storage checks it; returns its ETag. */
  async put(key: string, bytes: Uint8Array, signal: AbortSignal): Promise<string> {
    const asked = this.#asked('s3:PutObject', key);
    const { ETag: etag } = await this.#ask(asked, signal, (abortSignal) => {
      const { client, sdk } = this.#connection;
      const input = {
        ...this.#object(key),
        Body: bytes,
        ContentLength: bytes.byteLength,
        ChecksumAlgorithm: 'SHA256' as const,
      };
      return client.send(new sdk.PutObjectCommand(input), { abortSignal });
    });
    return etag ?? '';
  }

  close(): Promise<void> {
    this.#connection.client.destroy();
    return Promise.resolve();
  }

  #object(key: string): { readonly Bucket: string; readonly Key: string } {
    const { bucket, prefix } = this.location;
    return { Bucket: bucket, Key: prefix === '' ? key : `${prefix}/${key}` };
  }

  #asked(action: S3Question['action'], key?: string): S3Question {
    const { endpoint, anonymous } = this.#connection;
    const { Bucket: bucket, Key: whole } = this.#object(key ?? '');
    return { bucket, endpoint, anonymous, action, ...(key !== undefined && { key: whole }) };
  }

  #wrong(what: string): CalyxError {
    return new CalyxError(
      'unsupported',
      `${this.#connection.endpoint} does not answer as S3 does: for ${this.name} it ${what}`,
      {
        hint: 'check the endpoint (CALYX_S3_ENDPOINT): is it object storage with the API of S3?',
      },
    );
  }

  async #ask<T>(
    asked: S3Question,
    signal: AbortSignal,
    send: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const stall = new Stall(signal, this.#stallMs);
    try {
      return await stall.race(send(stall.signal));
    } catch (error) {
      throw stall.reason(
        error,
        () => this.#tooSlow(asked),
        () => s3Error(error, asked),
      );
    } finally {
      stall.end();
    }
  }

  /** Reads an object to its end, with a deadline for each piece and one for all. */
  async #get<T>(
    asked: S3Question,
    key: string,
    input: { readonly Range?: string },
    { signal, ifMatch, versionId }: S3ReadOptions,
    bytes: number,
    receive: (answer: S3Answer, stall: Stall) => Promise<T>,
  ): Promise<T> {
    const { client, sdk } = this.#connection;
    const stall = new Stall(
      signal,
      this.#stallMs,
      2 * this.#stallMs + (bytes / this.#minBytesPerSecond) * 1000,
    );
    try {
      const command = new sdk.GetObjectCommand({
        ...this.#object(key),
        ...input,
        ...(ifMatch !== undefined && { IfMatch: ifMatch }),
        ...(versionId !== undefined && { VersionId: versionId }),
      });
      const answer = await stall.race(client.send(command, { abortSignal: stall.signal }));
      const body = answer.Body as Readable;
      stall.signal.addEventListener('abort', () => body.destroy(), { once: true });
      try {
        return await stall.race(receive({ ...answer, body }, stall));
      } finally {
        // Whatever is left of it nobody wants; what was read to its end gives its connection back.
        body.on('error', () => undefined);
        if (!body.readableEnded) body.destroy();
      }
    } catch (error) {
      throw stall.reason(
        error,
        () => this.#tooSlow(asked),
        () => (isCalyxError(error) ? error : s3Error(error, asked)),
      );
    } finally {
      stall.end();
    }
  }

  #tooSlow({ endpoint, key }: S3Question): CalyxError {
    return new CalyxError('timeout', `${endpoint} is too slow${key === undefined ? '' : ` for ${key}`}`);
  }
}

interface S3Answer {
  readonly ContentRange?: string | undefined;
  readonly ContentLength?: number | undefined;
  readonly ETag?: string | undefined;
  readonly body: AsyncIterable<Uint8Array>;
}

const isSize = (size: number): boolean => Number.isSafeInteger(size) && size >= 0;

/** Base64 of 32 bytes; a checksum of checksums has `-PARTS` after it and says nothing about the whole. */
function wholeSha256(text: string | undefined): string | undefined {
  return text !== undefined && /^[A-Za-z0-9+/]{43}=$/.test(text)
    ? Buffer.from(text, 'base64').toString('hex')
    : undefined;
}
