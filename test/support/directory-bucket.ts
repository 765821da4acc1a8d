import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CalyxError } from '../../src/core/errors.js';
import type { ObjectBucket, StoredObject } from '../../src/storage/object-bucket.js';

/** Objects that are files below a directory, with the MD5 of their content for an ETag, as in S3. */
export class DirectoryBucket implements ObjectBucket {
  readonly name = 's3://bucket/models';
  readonly #directory: string;
  readonly #versions = new Map<string, string>();
  /** May throw, or change what was read. */
  onRead: (key: string, target: Uint8Array, offset: number) => void | Promise<void> = () => undefined;
  onPut: (key: string) => void = () => undefined;
  readBytes = 0;
  reads = 0;

  constructor(directory: string) {
    this.#directory = directory;
  }

  list(): Promise<StoredObject[]> {
    const entries = readdirSync(this.#directory, { recursive: true, withFileTypes: true });
    const keys = entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(this.#directory.length + 1));
    return Promise.resolve(keys.sort().map((key) => ({ key, ...this.#look(key) })));
  }

  async read(object: StoredObject, offset: number, target: Uint8Array, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.reads += 1;
    if (this.#look(object.key).version !== object.version)
      throw new CalyxError('changed', `${object.key} has changed`);
    if (offset + target.byteLength > object.size) throw new CalyxError('usage', 'beyond the end');
    const file = await open(join(this.#directory, object.key));
    await file.read(target, 0, target.byteLength, offset).finally(() => file.close());
    await this.onRead(object.key, target, offset);
    this.readBytes += target.byteLength;
  }

  put(key: string, bytes: Uint8Array): Promise<void> {
    this.onPut(key);
    const path = join(this.#directory, key);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #look(key: string): { readonly size: number; readonly version: string } {
    const path = join(this.#directory, key);
    const info = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (info === undefined) throw new CalyxError('not-found', `there is no ${key}`);
    const identity = `${key} ${info.ino} ${info.mtimeNs} ${info.size}`;
    let version = this.#versions.get(identity);
    if (version === undefined) {
      version = `"${createHash('md5').update(readFileSync(path)).digest('hex')}"`;
      this.#versions.set(identity, version);
    }
    return { size: Number(info.size), version };
  }
}
