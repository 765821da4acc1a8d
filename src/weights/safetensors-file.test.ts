import { execFileSync } from 'node:child_process';
import { mkdir, open, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../test/support/expect-error.js';
import { rawSafetensors, smallSafetensors } from '../../test/support/raw-safetensors.js';
import { testDirectory } from '../../test/support/directories.js';
import { readSafetensorsFile } from './safetensors-file.js';

async function fileWith(bytes: Uint8Array): Promise<string> {
  const path = join(testDirectory(), 'shard-7.safetensors');
  await writeFile(path, bytes);
  return path;
}

/** An entry for one tensor of a header. */
const entry = (name: string, dtype = 'F32', shape = '[4]', offsets = '[0,16]'): string =>
  `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`;

const one = (dtype: string, shape: string, offsets: string): string =>
  `{${entry('w', dtype, shape, offsets)}}`;

interface Hostile {
  readonly what: string;
  readonly header: string | Uint8Array;
  /** Bytes behind the header. @default 16 */
  readonly data?: number;
  readonly lengthField?: bigint;
  readonly says: readonly (string | RegExp)[];
}

const LENGTH: Hostile[] = [
  { what: 'a header longer than the file', header: '{}', lengthField: 3n, data: 0, says: ['claims 3 bytes', 'has only 10'] },
  { what: 'a header just above 100 MB', header: '{}', lengthField: 100_000_001n, says: ['claims 100000001 bytes'] },
  { what: 'the longest length of all', header: '{}', lengthField: 2n ** 64n - 1n, says: ['claims 18446744073709551615 bytes'] },
  { what: 'a length that is negative as a signed number', header: '{}', lengthField: 2n ** 63n, says: ['claims 9223372036854775808'] },
  { what: 'no header', header: '', says: ['cut off'] },
]; // prettier-ignore

const TEXT: Hostile[] = [
  { what: 'a header that is not UTF-8', header: Buffer.from('{"\xff\xfe":1}', 'latin1'), says: ['not UTF-8'] },
  { what: 'an overlong UTF-8 sequence', header: Buffer.from('{"\xc0\xaf":1}', 'latin1'), says: ['not UTF-8'] },
  { what: 'a surrogate in UTF-8', header: Buffer.from('{"\xed\xa0\x80":1}', 'latin1'), says: ['not UTF-8'] },
  { what: 'a byte order mark', header: '\ufeff{}', says: ['not valid'] },
  { what: 'zeros', header: Buffer.alloc(16), says: ['not valid'] },
  { what: 'no JSON', header: '<html>404 Not Found</html>', says: ['not valid'] },
  { what: 'a Git LFS pointer', header: 'version https://git-lfs.github.com/spec/v1', says: ['not valid'] },
  { what: 'cut off JSON', header: one('F32', '[4]', '[0,16]').slice(0, -1), says: ["',' or '}' is missing"] },
  { what: 'two documents', header: `${one('F32', '[4]', '[0,16]')}{}`, says: ['after the end'] },
  { what: 'an array', header: '[]', says: ['not a JSON object'] },
  { what: 'a number', header: '7', says: ['not a JSON object'] },
  { what: 'deep nesting', header: `{"w":${'['.repeat(100_000)}`, says: ['nested too deeply'] },
  { what: 'deep nesting in the metadata', header: `{"__metadata__":${'{"a":'.repeat(100_000)}`, says: ['nested too deeply'] },
]; // prettier-ignore

const NAMES: Hostile[] = [
  { what: 'a name twice', header: `{${entry('w')},${entry('w', 'F32', '[4]', '[16,32]')}}`, data: 32, says: ['"w" appears twice'] },
  { what: 'a name twice, once escaped', header: `{${entry('w')},"\\u0077":{}}`, says: ['"w" appears twice'] },
  { what: 'the metadata twice', header: '{"__metadata__":{},"__metadata__":{}}', says: ['"__metadata__" appears twice'] },
  { what: 'a key twice in an entry', header: '{"w":{"dtype":"F32","dtype":"U8","shape":[4],"data_offsets":[0,16]}}', says: ['"dtype" appears twice'] },
  { what: 'offsets twice in an entry', header: '{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"data_offsets":[0,16]}}', says: ['"data_offsets" appears twice'] },
  { what: '__proto__ as a name', header: `{${entry('__proto__')}}`, says: ['"__proto__" is not usable as the name of a tensor'] },
  { what: 'an empty name', header: `{${entry('')}}`, says: ['"" is not usable'] },
  { what: 'a huge name', header: `{${entry('n'.repeat(1025))}}`, says: [/"n{200}\.\.\." is not usable/] },
  { what: 'a huge name in UTF-8', header: `{${entry('é'.repeat(513))}}`, says: ['is not usable'] },
  { what: 'a lone surrogate as a name', header: '{"\\ud800":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}', says: ['"\\ud800" is not usable'] },
]; // prettier-ignore

const ENTRIES: Hostile[] = [
  { what: 'an entry that is a number', header: '{"w":1}', says: ['"w": its entry is not {dtype, shape, data_offsets}'] },
  { what: 'an entry that is null', header: '{"w":null}', says: ['"w": its entry'] },
  { what: 'an empty entry', header: '{"w":{}}', says: ['"w": its entry'] },
  { what: 'an entry with more keys', header: '{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"x":1}}', says: ['"w": its entry'] },
  { what: 'a dtype that is a number', header: '{"w":{"dtype":1,"shape":[4],"data_offsets":[0,16]}}', says: ['"w": its entry'] },
  { what: 'a shape that is a string', header: one('F32', '"4"', '[0,16]'), says: ['"w": its entry'] },
  { what: 'a shape of strings', header: one('F32', '["4"]', '[0,16]'), says: ['"w": its entry'] },
  { what: 'offsets that are an object', header: one('F32', '[4]', '{"0":0,"1":16}'), says: ['"w": its entry'] },
  { what: 'one offset', header: one('F32', '[4]', '[0]'), says: ['data_offsets [0] is not a range'] },
  { what: 'three offsets', header: one('F32', '[4]', '[0,8,16]'), says: ['[0, 8, 16] is not a range'] },
  { what: 'metadata that is no object', header: '{"__metadata__":[]}', says: ['__metadata__'] },
  { what: 'metadata that is not strings', header: '{"__metadata__":{"format":1}}', says: ['__metadata__', 'strings'] },
  { what: 'an unknown dtype', header: one('Q4_K', '[4]', '[0,16]'), says: ['tensor "w": unknown dtype "Q4_K"'] },
  { what: 'a dtype in lower case', header: one('f32', '[4]', '[0,16]'), says: ['unknown dtype "f32"'] },
]; // prettier-ignore

const RANGES: Hostile[] = [
  { what: 'overlapping tensors', header: `{${entry('a')},${entry('b', 'F32', '[4]', '[12,28]')}}`, data: 28, says: ['tensors "a" and "b" overlap'] },
  { what: 'two tensors on the same bytes', header: `{${entry('a')},${entry('b')}}`, says: [/tensors "(a" and "b|b" and "a)" overlap/] },
  { what: 'a tensor inside another one', header: `{${entry('b', 'U8', '[1]', '[7,8]')},${entry('a')}}`, says: ['tensors "a" and "b" overlap'] },
  { what: 'a truncated file', header: one('F32', '[4]', '[0,16]'), data: 15, says: ['tensor "w": its bytes', 'leave the file', 'cut off'] },
  { what: 'an offset far outside the file', header: one('F32', '[4]', '[4000000000,4000000016]'), says: ['tensor "w"', 'leave the file'] },
  { what: 'negative offsets', header: one('F32', '[4]', '[-16,0]'), says: ['[-16, 0] is not a range'] },
  { what: 'fractional offsets', header: one('F32', '[4]', '[0.5,16.5]'), says: ['[0.5, 16.5] is not a range'] },
  { what: 'offsets above 2^53', header: one('F32', '[4]', '[9007199254740993,9007199254741009]'), says: ['is not a range'] },
  { what: 'offsets that wrap around as u64', header: one('F32', '[4]', '[18446744073709551600,0]'), says: ['is not a range'] },
  { what: 'an infinite offset', header: one('F32', '[4]', '[0,1e999]'), says: ['[0, Infinity] is not a range'] },
  { what: 'an offset whose sum with the header is not exact', header: one('U8', '[0]', '[9007199254740991,9007199254740991]'), says: ['tensor "w"', 'leave the file'] },
  { what: 'begin after end', header: one('F32', '[4]', '[16,0]'), says: ['[16, 0] is not a range'] },
  { what: 'an empty tensor outside the file', header: one('F32', '[0]', '[17,17]'), says: ['leave the file'] },
]; // prettier-ignore

const SHAPES: Hostile[] = [
  { what: 'fewer bytes than the shape takes', header: one('F32', '[5]', '[0,16]'), says: ['tensor "w": F32 [5] takes 20 bytes, but its offsets span 16'] },
  { what: 'more bytes than the shape takes', header: one('BF16', '[2,3]', '[0,16]'), says: ['BF16 [2, 3] takes 12 bytes', 'span 16'] },
  { what: 'bytes for an empty shape', header: one('F32', '[0]', '[0,16]'), says: ['takes 0 bytes'] },
  { what: 'half a byte', header: one('F4', '[31]', '[0,16]'), says: ['F4 [31] takes 15.5 bytes'] },
  { what: 'six bits that end within a byte', header: one('F6_E2M3', '[3]', '[0,3]'), says: ['takes 2.25 bytes'] },
  { what: 'a product above 2^53', header: one('F32', '[4294967296,4294967296]', '[0,16]'), says: ['impossible shape [4294967296, 4294967296]'] },
  { what: 'a product that is 4 as a u64', header: one('F32', '[4611686018427387905,4]', '[0,16]'), says: ['impossible shape'] },
  { what: 'a product of bits above 2^53', header: one('F64', '[1125899906842624]', '[0,16]'), says: ['impossible shape'] },
  { what: 'an overflow hidden by a zero', header: one('F32', '[1099511627776,1099511627776,0]', '[0,0]'), says: ['impossible shape'] },
  { what: 'a negative dimension', header: one('F32', '[-4]', '[0,16]'), says: ['impossible shape [-4]'] },
  { what: 'two negative dimensions', header: one('F32', '[-2,-2]', '[0,16]'), says: ['impossible shape'] },
  { what: 'a fractional dimension', header: one('F32', '[2.5]', '[0,10]'), says: ['impossible shape [2.5]'] },
  { what: 'a dimension above 2^53', header: one('F32', '[9007199254740993,0]', '[0,0]'), says: ['impossible shape'] },
  { what: 'very many dimensions', header: one('F32', `[${Array(17).fill(1).join()}]`, '[0,4]'), says: ['impossible shape'] },
]; // prettier-ignore

describe('readSafetensorsFile', () => {
  describe.each([
    ['length', LENGTH],
    ['text', TEXT],
    ['names', NAMES],
    ['entries', ENTRIES],
    ['ranges', RANGES],
    ['shapes', SHAPES],
  ])('refuses a wrong header: %s', (_, rows) => {
    it.each(rows)('$what', async ({ header, data = 16, lengthField, says }) => {
      const path = await fileWith(rawSafetensors(header, data, lengthField));
      await expectError(() => readSafetensorsFile(path), 'invalid-model', `${path}: `, ...says);
      await expectError(() => readSafetensorsFile(path, 'its name'), 'invalid-model', 'its name: ', ...says);
    });
  });

  it.each([0, 1, 7])('refuses a file of %i bytes', async (size) => {
    const path = await fileWith(Buffer.alloc(size));
    await expectError(() => readSafetensorsFile(path), 'invalid-model', path, `has ${size} bytes`);
  });

  it('says which file is not there, or is none', async () => {
    const directory = testDirectory();
    const missing = join(directory, 'none.safetensors');
    await expectError(() => readSafetensorsFile(missing), 'not-found', missing);
    const folder = join(directory, 'folder.safetensors');
    await mkdir(folder);
    await expectError(() => readSafetensorsFile(folder), 'invalid-model', folder, 'not a regular file');
  });

  it.skipIf(process.platform === 'win32')('does not wait for a FIFO', async () => {
    const path = join(testDirectory(), 'fifo.safetensors');
    execFileSync('mkfifo', [path]);
    await expectError(() => readSafetensorsFile(path), 'invalid-model', path, 'not a regular file');
  });

  it('reads a small file', async () => {
    const bytes = smallSafetensors('a', 'b');
    const { size, tensors } = await readSafetensorsFile(await fileWith(bytes));
    expect(size).toBe(bytes.byteLength);
    expect(tensors.map(({ name, offset, length }) => [name, offset - bytes.byteLength, length])).toEqual([
      ['a', -32, 16],
      ['b', -16, 16],
    ]);
  });

  it('reads the header of a file of 8 TiB and nothing else of it', async () => {
    const data = 2 ** 43;
    const path = await fileWith(rawSafetensors(one('U8', `[${data}]`, `[0,${data}]`)));
    const file = await open(path, 'r+');
    const header = (await file.stat()).size;
    await file.close();
    await truncate(path, header + data);
    expect((await readSafetensorsFile(path)).tensors).toEqual([
      { name: 'w', dtype: 'U8', shape: [data], offset: header, length: data },
    ]);
  });
});

describe('files of other kinds in the place of weights', () => {
  it.each([
    [
      'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n',
      'it is a git-lfs pointer',
      'git lfs pull',
    ],
    ['<!DOCTYPE html><html><body>Login</body></html>', 'it is a web page', 'login'],
    ['GGUF\u0003\u0000\u0000\u0000', 'it is a GGUF file', 'safetensors'],
    ['{"model_type":"llama"}', 'it is JSON', 'directory'],
  ])('%j', async (content, what, hint) => {
    const path = join(testDirectory(), 'model.safetensors');
    await writeFile(path, content);
    await expect(readSafetensorsFile(path)).rejects.toMatchObject({
      code: 'invalid-model',
      message: expect.stringContaining(what) as unknown,
      hint: expect.stringContaining(hint) as unknown,
    });
  });
});
