import { execFileSync } from 'node:child_process';
import { mkdirSync, realpathSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { testDirectory } from '../../../test/support/directories.js';
import { identify, sameFile, scanDirectory } from './scan.js';

let directory: string;

beforeEach(() => {
  directory = realpathSync(testDirectory());
});

function put(path: string, content = path): string {
  mkdirSync(dirname(join(directory, path)), { recursive: true });
  writeFileSync(join(directory, path), content);
  return join(directory, path);
}

const paths = async (): Promise<string[]> => (await scanDirectory(directory)).map((file) => file.path);

test('files by path, in directories too', async () => {
  for (const path of ['b', 'a/z', 'a-b', 'B', 'a/y/x']) put(path);
  // The order of UTF-16 code units: '-' before '/', capitals before small letters.
  expect(await paths()).toEqual(['B', 'a-b', 'a/y/x', 'a/z', 'b']);
});

test('each with what tells that it is the same', async () => {
  const path = put('config.json', '12345');
  const { ino, mtimeNs } = statSync(path, { bigint: true });
  expect(await scanDirectory(directory)).toEqual([
    { path: 'config.json', realPath: path, size: 5, inode: String(ino), mtimeNs: String(mtimeNs) },
  ]);
});

test('hidden files and directories are passed over', async () => {
  for (const path of ['.gitattributes', '.git/config', '.cache/huggingface/x', 'a/.lock', 'seen']) put(path);
  expect(await paths()).toEqual(['seen']);
});

test('symbolic links are followed to files and directories', async () => {
  const target = put('.blobs/abc', 'content');
  put('.more/deep');
  symlinkSync('.blobs/abc', join(directory, 'model.safetensors'));
  symlinkSync('.more', join(directory, 'extra'));
  const files = await scanDirectory(directory);
  expect(files.map((file) => [file.path, file.realPath])).toEqual([
    ['extra/deep', join(directory, '.more/deep')],
    ['model.safetensors', target],
  ]);
  expect(files[1]?.size).toBe(7);
});

test('a link to nothing is an error that names it', async () => {
  symlinkSync('nowhere', join(directory, 'model.safetensors'));
  await expect(scanDirectory(directory)).rejects.toMatchObject({
    code: 'not-found',
    message: expect.stringContaining(join(directory, 'model.safetensors')) as unknown,
  });
});

test('a link that leads back up ends with an error', async () => {
  put('file');
  symlinkSync('.', join(directory, 'loop'));
  await expect(scanDirectory(directory)).rejects.toMatchObject({
    code: 'usage',
    message: expect.stringContaining('nested too deeply') as unknown,
  });
});

test('16 directories deep are allowed, 17 are not', async () => {
  const deep = Array.from({ length: 16 }, (_, index) => `d${index}`).join('/');
  put(`${deep}/file`);
  expect(await paths()).toEqual([`${deep}/file`]);
  rmSync(join(directory, 'd0'), { recursive: true });
  put(`${deep}/d16/file`);
  await expect(paths()).rejects.toMatchObject({ code: 'usage' });
});

test('a FIFO is refused, not opened', async () => {
  execFileSync('mkfifo', [join(directory, 'pipe')]);
  await expect(paths()).rejects.toMatchObject({
    code: 'usage',
    message: `${join(directory, 'pipe')} is neither a file nor a directory`,
  });
});

test.each(['back\\slash', 'line\nend'])('the name %j is refused', async (name) => {
  put(name);
  await expect(paths()).rejects.toMatchObject({ code: 'usage' });
});

test('a directory that does not exist', async () => {
  await expect(scanDirectory(join(directory, 'none'))).rejects.toMatchObject({ code: 'not-found' });
});

test('sameFile compares all three', async () => {
  const identity = await identify(put('a'));
  expect(sameFile(identity, { ...identity })).toBe(true);
  expect(sameFile(identity, { ...identity, size: 2 })).toBe(false);
  expect(sameFile(identity, { ...identity, inode: '1' })).toBe(false);
  expect(sameFile(identity, { ...identity, mtimeNs: '1' })).toBe(false);
});
