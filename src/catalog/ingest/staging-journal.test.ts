import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { testDirectory } from '../../../test/support/directories.js';
import type { SourceFile } from './scan.js';
import { sizeOf } from '../../storage/files/size-of.js';
import { StagingJournal } from './staging-journal.js';

const file = (path: string): SourceFile => ({
  path,
  realPath: `/from/${path}`,
  size: 5,
  inode: '9',
  mtimeNs: '77',
});
const result = (digit: string) => ({
  blob: digit.repeat(64),
  chunkDigests: Buffer.from(digit.repeat(64), 'hex'),
});
const tensors = [{ offset: 1, length: 4 }];

let path: string;

beforeEach(() => {
  path = join(testDirectory(), 'staging', 'files.jsonl');
});

test('remembers across runs', async () => {
  const first = await StagingJournal.open(path);
  await first.add(file('a'), tensors, result('a'));
  await first.add(file('b'), [], result('b'));
  const second = await StagingJournal.open(path);
  expect(second.find(file('a'), tensors)).toEqual(result('a'));
  expect(second.find(file('b'), [])).toEqual(result('b'));
  expect(second.find(file('c'), [])).toBeUndefined();
});

test.each<[string, Partial<SourceFile>]>([
  ['another place', { realPath: '/elsewhere' }],
  ['another size', { size: 6 }],
  ['another inode', { inode: '10' }],
  ['another time', { mtimeNs: '78' }],
])('a file of %s is not the one it remembers', async (_, difference) => {
  const journal = await StagingJournal.open(path);
  await journal.add(file('a'), tensors, result('a'));
  expect((await StagingJournal.open(path)).find({ ...file('a'), ...difference }, tensors)).toBeUndefined();
});

test('nor is one that is cut otherwise', async () => {
  await (await StagingJournal.open(path)).add(file('a'), tensors, result('a'));
  const journal = await StagingJournal.open(path);
  expect(journal.find(file('a'), [])).toBeUndefined();
  expect(journal.find(file('a'), [{ offset: 1, length: 3 }])).toBeUndefined();
  // What a tensor is called does not matter.
  expect(journal.find(file('a'), [{ offset: 1, length: 4, name: 'x' } as (typeof tensors)[0]])).toEqual(
    result('a'),
  );
});

test('a later line counts', async () => {
  const journal = await StagingJournal.open(path);
  await journal.add(file('a'), tensors, result('a'));
  await journal.add(file('a'), tensors, result('c'));
  expect((await StagingJournal.open(path)).find(file('a'), tensors)).toEqual(result('c'));
});

test('a last line cut anywhere is passed over, and does not swallow the next one', async () => {
  const journal = await StagingJournal.open(path);
  await journal.add(file('a'), tensors, result('a'));
  const whole = readFileSync(path);
  await journal.add(file('b'), tensors, result('b'));
  const line = readFileSync(path).subarray(whole.byteLength);
  for (let length = 0; length < line.byteLength - 1; length += 1) {
    writeFileSync(path, Buffer.concat([whole, line.subarray(0, length)]));
    const torn = await StagingJournal.open(path);
    expect(torn.find(file('b'), tensors), `${length} bytes of the line`).toBeUndefined();
    if (length % 50 !== 1) continue;
    await torn.add(file('c'), tensors, result('c'));
    const next = await StagingJournal.open(path);
    expect(next.find(file('a'), tensors)).toEqual(result('a'));
    expect(next.find(file('c'), tensors)).toEqual(result('c'));
  }
});

test.each(['{}', 'null', '[1]', 'garbage', '{"path":"a"}'])('the line %s is passed over', async (line) => {
  const journal = await StagingJournal.open(path);
  await journal.add(file('a'), tensors, result('a'));
  appendFileSync(path, `${line}\n`);
  expect((await StagingJournal.open(path)).find(file('a'), tensors)).toEqual(result('a'));
});

test('a journal that is no file is an error that names it', async () => {
  mkdirSync(path, { recursive: true });
  await expect(StagingJournal.open(path)).rejects.toMatchObject({
    code: 'unreadable',
    message: expect.stringContaining(path) as unknown,
  });
});

test('sizeOf tells files from everything else', async () => {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, '1234567');
  expect(await sizeOf(path)).toBe(7);
  expect(await sizeOf(join(path, '..'))).toBeUndefined();
  expect(await sizeOf(`${path}.none`)).toBeUndefined();
});
