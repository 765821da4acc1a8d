import { createHash } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { testDirectory } from '../../../test/support/directories.js';
import { checkFile, hashFile, type HashJob } from './hash-file.js';
import { identify } from './scan.js';

const MIB = 1024 * 1024;
const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
/** Bytes of which no two places are alike. */
const content = Buffer.concat(
  Array.from({ length: (9 * MIB) / 32 }, (_, index) => createHash('sha256').update(`${index}`).digest()),
);
// One tensor of 5 MiB after a header of 1000 bytes: 0+1000 | 1000+4 MiB | +1 MiB | the rest in one piece.
const tensors = [{ offset: 1000, length: 5 * MIB }];
const bounds = [0, 1000, 4_195_304, 5_243_880, 9_437_184];
const chunks = bounds.slice(1).map((end, index) => content.subarray(bounds[index], end));

let directory: string;
let source: string;
let copyTo: string;

beforeEach(() => {
  directory = testDirectory();
  source = join(directory, 'source');
  copyTo = join(directory, 'copy');
  writeFileSync(source, content);
  utimesSync(source, 1e9, 1e9);
});

async function hash(
  job: Partial<HashJob> = {},
  onProgress: (bytes: number) => void = () => undefined,
): Promise<{ blob: string; chunks: string[] }> {
  const { blob, chunkDigests } = hashFile(
    { source, identity: job.identity ?? (await identify(source)), tensors, ...job },
    onProgress,
  );
  const hex = Buffer.from(chunkDigests).toString('hex');
  return { blob, chunks: hex.match(/.{64}/g) ?? [] };
}

test('digests of the whole and of each chunk', async () => {
  const progress: number[] = [];
  const result = await hash({}, (bytes) => progress.push(bytes));
  expect(result).toEqual({ blob: sha(content), chunks: chunks.map(sha) });
  expect(progress).toEqual([1000, 4_194_304, 1_048_576, 4_193_304]);
  expect(existsSync(copyTo)).toBe(false);
});

test('an empty file has the digest of nothing and no chunks', async () => {
  writeFileSync(source, '');
  const result = await hash({ tensors: [], copyTo });
  expect(result).toEqual({
    blob: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    chunks: [],
  });
  expect(readFileSync(copyTo).byteLength).toBe(0);
});

describe('the copy', () => {
  test('is the source', async () => {
    await hash({ copyTo });
    expect(readFileSync(copyTo).equals(content)).toBe(true);
  });

  test('replaces what lay there', async () => {
    writeFileSync(copyTo, Buffer.alloc(10 * MIB, 1));
    await hash({ copyTo });
    expect(readFileSync(copyTo).equals(content)).toBe(true);
  });

  test('goes on after whole chunks, and hashes what really lies there', async () => {
    // Marked, so that it shows which bytes were read from the copy and which from the source.
    const begun = Buffer.from(content.subarray(0, 3 * MIB));
    begun[0] = (begun[0] ?? 0) ^ 1;
    begun[2000] = (begun[2000] ?? 0) ^ 1;
    writeFileSync(copyTo, begun);
    const result = await hash({ copyTo, copiedBytes: begun.byteLength });
    const expected = Buffer.from(content);
    expected[0] = begun[0];
    // The chunk that the interruption cut in two was written again.
    expect(readFileSync(copyTo).equals(expected)).toBe(true);
    expect(result).toEqual({
      blob: sha(expected),
      chunks: [sha(expected.subarray(0, 1000)), ...chunks.slice(1).map(sha)],
    });
  });

  test('into a directory that does not exist: the error names the copy', async () => {
    const path = join(directory, 'none', 'copy');
    await expect(hash({ copyTo: path })).rejects.toMatchObject({
      message: expect.stringContaining(path) as unknown,
    });
  });

  test('to a device without space: disk-full', async () => {
    await expect(hash({ copyTo: '/dev/full' })).rejects.toMatchObject({
      code: 'disk-full',
      message: 'cannot write /dev/full: no space left on the device',
    });
  });
});

describe('a source that changes', () => {
  const changes: [string, () => void][] = [
    ['is appended to', () => appendFileSync(source, 'x')],
    ['is cut off', () => truncateSync(source, 2 * MIB)],
    ['is emptied', () => truncateSync(source, 0)],
    ['is written again', () => writeFileSync(source, content)],
  ];

  test.each(changes)('%s in the middle', async (_, change) => {
    let done = 0;
    const failed = hash({ copyTo }, (bytes) => {
      if (done === 0) change();
      done += bytes;
    });
    await expect(failed).rejects.toMatchObject({
      code: 'changed',
      message: `${source} changed while it was read; nothing was published`,
    });
  });

  test.each(changes)('%s after its last byte was read', async (_, change) => {
    let done = 0;
    const failed = hash({}, (bytes) => {
      done += bytes;
      if (done === content.byteLength) change();
    });
    await expect(failed).rejects.toMatchObject({ code: 'changed' });
  });

  test('is another file than the one that was looked at', async () => {
    const identity = await identify(source);
    writeFileSync(join(directory, 'other'), content);
    await expect(hash({ source: join(directory, 'other'), identity })).rejects.toMatchObject({
      code: 'changed',
    });
    rmSync(source);
    await expect(hash({ identity })).rejects.toMatchObject({ code: 'changed' });
  });
});

describe('checkFile', () => {
  const digests = Buffer.concat(chunks.map((chunk) => createHash('sha256').update(chunk).digest()));
  const check = (): ReturnType<typeof checkFile> =>
    checkFile({ path: source, size: content.byteLength, tensors, chunkDigests: digests }, () => undefined);

  test('finds nothing in a good file', () => {
    expect(check()).toEqual([]);
  });

  test.each([
    [0, 0],
    [999, 0],
    [1000, 1],
    [4_195_303, 1],
    [4_195_304, 2],
    [9_437_183, 3],
  ])('a wrong byte at %i is in chunk %i', (position, index) => {
    const bytes = Buffer.from(content);
    bytes[position] = (bytes[position] ?? 0) ^ 0x80;
    writeFileSync(source, bytes);
    const offset = bounds[index] ?? 0;
    expect(check()).toEqual([{ index, offset, length: (bounds[index + 1] ?? 0) - offset }]);
  });

  test('what is missing at the end is bad, up to the last chunk', () => {
    truncateSync(source, 5_243_000);
    expect(check().map((chunk) => chunk.index)).toEqual([2, 3]);
  });
});
