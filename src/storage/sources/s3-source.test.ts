import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DirectoryBucket } from '../../../test/support/directory-bucket.js';
import { testDirectory } from '../../../test/support/directories.js';
import { expectError } from '../../../test/support/expect-error.js';
import { CalyxError } from '../../core/errors.js';
import { BufferPool } from '../buffer-pool.js';
import { S3Source, type BlobObject } from './s3-source.js';

const BLOB = 'ab'.repeat(32);

async function sourceOf(files: Readonly<Record<string, string>>): Promise<{
  directory: string;
  bucket: DirectoryBucket;
  pool: BufferPool;
  source: S3Source;
}> {
  const directory = testDirectory();
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  const bucket = new DirectoryBucket(directory);
  const objects: BlobObject[] = (await bucket.list()).map((object) => ({
    object,
    owner: `acme/m@${object.key}`,
  }));
  const pool = new BufferPool();
  const source = new S3Source(bucket, (blob) => (blob === BLOB ? objects : []), pool);
  return { directory, bucket, pool, source };
}

async function text(source: S3Source, offset: number, length: number): Promise<string> {
  const lease = await source.read(BLOB, offset, length);
  try {
    return Buffer.concat(lease.parts).toString();
  } finally {
    lease.release();
  }
}

describe('S3Source', () => {
  it('reads a range of the object that has the blob', async () => {
    const { source } = await sourceOf({ a: '0123456789' });
    expect(await text(source, 3, 4)).toBe('3456');
    await expectError(() => source.read('cd'.repeat(32), 0, 1), 'not-found', 's3://bucket/models');
  });

  it('reads another object with the same content when one was replaced, and never the new one', async () => {
    const { source, directory } = await sourceOf({ a: '0123456789', b: '0123456789' });
    writeFileSync(join(directory, 'a'), 'xxxxxxxxxx');
    expect(await text(source, 0, 2)).toBe('01');
    rmSync(join(directory, 'b'));
    await expectError(
      () => text(source, 0, 2),
      'changed',
      'a was replaced',
      'acme/m@a cannot be read any more',
    );
  });

  it('says of credentials that do not count that it may pass, and gives its buffer back', async () => {
    const { source, bucket, pool } = await sourceOf({ a: '0123456789' });
    bucket.onRead = () => {
      throw new CalyxError('unauthenticated', 'the credentials have expired');
    };
    await expectError(() => text(source, 0, 2), 'unavailable', 'expired');
    bucket.onRead = () => undefined;
    const whole = await pool.take(pool.budgetBytes);
    whole.release();
    await source.close();
    await expectError(() => text(source, 0, 2), 'unavailable', 'closed');
  });
});
