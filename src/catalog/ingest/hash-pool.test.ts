import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { testDirectory } from '../../../test/support/directories.js';
import type { HashJob } from './hash-file.js';
import { HashPool, type HashPoolOptions } from './hash-pool.js';
import { identify } from './scan.js';

function pool(options: HashPoolOptions): HashPool {
  const made = new HashPool(options);
  onTestFinished(() => made.close());
  return made;
}

async function job(bytes: number, fill = 0): Promise<HashJob> {
  const source = join(testDirectory(), 'file');
  writeFileSync(source, Buffer.alloc(bytes, fill));
  return { source, identity: await identify(source), tensors: [] };
}

const nothing = (): void => undefined;
const ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'; // FIPS 180-2, appendix B.1

async function abc(): Promise<HashJob> {
  const source = join(testDirectory(), 'abc');
  writeFileSync(source, 'abc');
  return { source, identity: await identify(source), tensors: [] };
}

test('more jobs than threads all get their own answers', async () => {
  const two = pool({ threads: 2 });
  const jobs = await Promise.all(Array.from({ length: 9 }, (_, fill) => job(100_000, fill)));
  const results = await Promise.all(jobs.map((each) => two.hash(each, nothing)));
  expect(results.map((result) => result.blob)).toEqual(
    jobs.map((_, fill) => createHash('sha256').update(Buffer.alloc(100_000, fill)).digest('hex')),
  );
});

test('check answers with the chunks that differ', async () => {
  const one = pool({ threads: 1 });
  const { source } = await abc();
  const good = { path: source, size: 3, tensors: [], chunkDigests: Buffer.from(ABC, 'hex') };
  expect(await one.check(good, nothing)).toEqual([]);
  const bad = { ...good, chunkDigests: Buffer.alloc(32) };
  expect(await one.check(bad, nothing)).toEqual([{ index: 0, offset: 0, length: 3 }]);
});

test('a failed job keeps its code and hint, and the thread does the next one', async () => {
  const one = pool({ threads: 1 });
  const good = await abc();
  const gone = one.hash({ ...good, identity: { ...good.identity, size: 4 } }, nothing);
  await expect(gone).rejects.toMatchObject({
    name: 'CalyxError',
    code: 'changed',
    hint: expect.any(String) as unknown,
  });
  expect((await one.hash(good, nothing)).blob).toBe(ABC);
});

test('a job that cannot be sent fails alone', async () => {
  const one = pool({ threads: 1 });
  const good = await abc();
  const impossible = { ...good, tensors: nothing as unknown as [] };
  await expect(one.hash(impossible, nothing)).rejects.toThrow(/could not be cloned/);
  expect((await one.hash(good, nothing)).blob).toBe(ABC);
});

describe('abort', () => {
  test('ends the job under way and those that wait, with the reason', async () => {
    const controller = new AbortController();
    const one = pool({ threads: 1, signal: controller.signal });
    const long = await job(64 * 1024 * 1024);
    const started: number[] = [];
    const jobs = [0, 1, 2].map((index) =>
      one.hash(long, () => {
        started.push(index);
        controller.abort(new Error('enough'));
      }),
    );
    const results = await Promise.allSettled(jobs);
    expect(results.map((result) => (result.status === 'rejected' ? String(result.reason) : 'done'))).toEqual(
      Array(3).fill('Error: enough'),
    );
    expect(new Set(started)).toEqual(new Set([0]));
  });

  test('before the first job nothing begins', async () => {
    const one = pool({ threads: 1, signal: AbortSignal.abort(new Error('never')) });
    await expect(one.hash(await abc(), () => expect.fail('it began'))).rejects.toThrow('never');
  });
});

test('a thread that ends in the middle of a job fails it, and those that wait do not hang', async () => {
  const one = pool({ threads: 1 });
  const long = await job(64 * 1024 * 1024);
  let closing: Promise<void> | undefined;
  const jobs = [0, 1, 2].map(() => one.hash(long, () => void (closing ??= one.close())));
  const codes = (await Promise.allSettled(jobs)).map((result) =>
    result.status === 'rejected' ? (result.reason as { code: string }).code : 'done',
  );
  expect(codes).toEqual(['internal', 'aborted', 'aborted']);
  await closing;
  await expect(one.hash(long, nothing)).rejects.toMatchObject({ code: 'aborted' });
});
