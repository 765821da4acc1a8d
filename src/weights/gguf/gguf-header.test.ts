import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/expect-error.js';
import { raw, rawGguf, type RawGguf } from '../../../test/support/raw-gguf.js';
import { isCalyxError } from '../../core/errors.js';
import { parseGgufHeader } from './gguf-header.js';

const parse = (bytes: Uint8Array, fileSize = bytes.byteLength) => parseGgufHeader(bytes, fileSize, 'm.gguf');

/**
 * Written by the `gguf` package 0.19.0: GGUFWriter(path, 'llama'), add_block_count(1), add_array('x', ['a', 'bc']),
 * add_tensor('blk.0.w', float32 zeros of shape (2, 3)), add_tensor('t', uint8 zeros of shape (1, 18), raw_dtype=Q4_0).
 */
const WRITTEN_BY_PYTHON = Buffer.from(
  'GGUF\x03\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0' +
    '\x14\0\0\0\0\0\0\0general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0llama' +
    '\x11\0\0\0\0\0\0\0llama.block_count\x04\0\0\0\x01\0\0\0' +
    '\x01\0\0\0\0\0\0\0x\x09\0\0\0\x08\0\0\0\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0a\x02\0\0\0\0\0\0\0bc' +
    '\x07\0\0\0\0\0\0\0blk.0.w\x02\0\0\0\x03\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' +
    '\x01\0\0\0\0\0\0\0t\x02\0\0\0\x20\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\x20\0\0\0\0\0\0\0' +
    '\0'.repeat(22 + 64),
  'latin1',
);

describe('a header', () => {
  it('that the Python package wrote', () => {
    const header = parse(WRITTEN_BY_PYTHON);
    expect(header?.version).toBe(3);
    expect(header?.pairs.map(({ key, value }) => [key, value])).toEqual([
      ['general.architecture', 'llama'],
      ['llama.block_count', 1],
      ['x', undefined],
    ]);
    expect(header?.tensors).toEqual([
      { name: 'blk.0.w', dtype: 'F32', shape: [3, 2], offset: 256, length: 24 },
      { name: 't', dtype: 'Q4_0', shape: [32, 1], offset: 288, length: 18 },
    ]);
  });

  it('of version 2 is read as one of version 3', () => {
    const bytes = Buffer.from(WRITTEN_BY_PYTHON);
    bytes[4] = 2;
    expect(parse(bytes)?.tensors).toEqual(parse(WRITTEN_BY_PYTHON)?.tensors);
    expect(parse(bytes)?.version).toBe(2);
  });

  it('asks for more as long as it is not there whole', () => {
    const size = WRITTEN_BY_PYTHON.byteLength;
    for (let length = 0; length < 234; length += 1)
      expect(parse(WRITTEN_BY_PYTHON.subarray(0, length), size)).toBeUndefined();
    expect(parse(WRITTEN_BY_PYTHON.subarray(0, 234), size)).toBeDefined();
  });

  it('lists tensors by offset, whatever the order of their descriptions', () => {
    const bytes = rawGguf({
      tensors: [
        { name: 'b', offset: 64 },
        { name: 'a', offset: 0 },
        { name: 'none', shape: [0], offset: 32 },
      ],
      data: 96,
    });
    expect(parse(bytes)?.tensors.map(({ name }) => name)).toEqual(['a', 'none', 'b']);
  });

  it('has values of all types, and lists of lists', () => {
    const scalars = [1, 1, 2, 2, 4, 4, 4, 1];
    const pairs: RawGguf['pairs'] = [
      ...scalars.map((bytes, type) => [`s${type}`, { type, bytes: Buffer.alloc(bytes, 1) }] as const),
      ...[10, 11, 12].map((type) => [`s${type}`, { type, bytes: Buffer.alloc(8) }] as const),
      [
        'lists',
        raw.list(9, 2, Buffer.concat([raw.list(4, 1, raw.u32(7)).bytes, raw.strings('a', '').bytes])),
      ],
      ['nothing', raw.list(8, 0, Buffer.alloc(0))],
    ];
    expect(parse(rawGguf({ pairs }))?.pairs.map(({ value }) => value)).toEqual([
      1, 1, 257, 257, 16_843_009, 16_843_009, expect.closeTo(2.369e-38, 40), true, 0, 0, 0, undefined, undefined,
    ]); // prettier-ignore
  });

  it('knows another alignment', () => {
    const bytes = rawGguf({
      pairs: [['general.alignment', raw.number(128)]],
      tensors: [{ name: 'a', offset: 0 }],
      alignment: 128,
    });
    expect(parse(bytes)?.tensors[0]?.offset).toBe(128);
    expect(parse(bytes)?.metadata.alignment).toBe(128);
  });
});

describe('what parts carry of the metadata', () => {
  it('is all but the tokenizer and what is long; how the file was split is left out', () => {
    const pairs: RawGguf['pairs'] = [
      ['general.architecture', raw.string('llama')],
      ['tokenizer.ggml.model', raw.string('gpt2')],
      ['tokenizer.ggml.tokens', raw.strings('a', 'b')],
      ['split.count', { type: 2, bytes: Buffer.from([3, 0]) }],
      ['long', raw.string('x'.repeat(5000))],
      ['llama.block_count', raw.number(2)],
    ];
    const bytes = rawGguf({ pairs });
    const { metadata } = parse(bytes) ?? expect.fail();
    const at = (key: string): number => bytes.indexOf(key) - 8;
    expect(metadata.pairCount).toBe(2);
    expect(Buffer.from(metadata.pairs)).toEqual(
      Buffer.concat([
        bytes.subarray(at('general.architecture'), at('tokenizer.ggml.model')),
        bytes.subarray(at('llama.block_count'), at('llama.block_count') + 8 + 17 + 4 + 4),
      ]),
    );
    expect(metadata.furtherCount).toBe(3);
    expect(metadata.further).toEqual([
      { offset: at('tokenizer.ggml.model'), length: at('split.count') - at('tokenizer.ggml.model') },
      { offset: at('long'), length: at('llama.block_count') - at('long') },
    ]);
  });
});

const HUGE = 2n ** 63n;
const tensor = (change: object): RawGguf => ({ tensors: [{ name: 'a', offset: 0, ...change }] });
const value = (type: number, bytes: Uint8Array): RawGguf => ({ pairs: [['k', { type, bytes }]] });

describe('a hostile header is refused', () => {
  it.each<[string, RawGguf, string]>([
    ['2^63 tensors', { tensorCount: HUGE }, 'number of tensors is said to be 9223372036854775808'],
    ['2^64 - 1 keys', { pairCount: 2n ** 64n - 1n }, 'number of metadata keys is said to be 18446744073709551615'],
    ['more tensors than the file can hold', { tensorCount: 4n }, 'number of tensors is said to be 4'],
    ['a tensor that is not there', { tensorCount: 1n, data: 100 }, 'not usable as the name'],
    ['a key beyond the file', { pairCount: 1n, alignment: 8, data: Buffer.concat([raw.u64(HUGE), Buffer.alloc(24)]) }, 'the length of the name of a metadata key is said to be 9223372036854775808'],
    ['a string beyond the file', value(8, raw.u64(HUGE)), 'metadata "k" is said to be 9223372036854775808'],
    ['a list beyond the file', value(9, raw.list(0, HUGE, Buffer.alloc(0)).bytes), 'number of items of the metadata "k"'],
    ['a list of strings beyond the file', value(9, raw.list(8, 7, Buffer.alloc(0)).bytes), 'number of items'],
    ['a list of numbers whose bytes overflow', value(9, raw.list(12, HUGE / 4n, Buffer.alloc(0)).bytes), 'number of items'],
    ['lists in lists without end', value(9, Buffer.concat(Array.from({ length: 1000 }, () => raw.list(9, 1, Buffer.alloc(0)).bytes))), 'more than 4 deep'],
    ['an unknown type of value', value(13, Buffer.alloc(8)), 'unknown type 13'],
    ['a list of an unknown type', value(9, raw.list(99, 1, Buffer.alloc(8)).bytes), 'unknown type 99'],
    ['a key twice', { pairs: [['k', raw.number(1)], ['k', raw.number(1)]] }, 'key "k" twice'],
    ['a key without a name', { pairs: [['', raw.number(1)]] }, 'has no name'],
    ['a key that is not UTF-8', { pairs: [[Buffer.from([0xff, 0xfe]), raw.number(1)]] }, 'not UTF-8'],
    ['a key of 65,536 bytes', { pairs: [['k'.repeat(65_536), raw.number(1)]] }, '65536 bytes'],
    ['a tensor twice', { tensors: [{ name: 'a', offset: 0 }, { name: 'a', offset: 32 }], data: 64 }, '"a" appears twice'],
    ['a tensor without a name', tensor({ name: '' }), 'not usable as the name'],
    ['a tensor named like the prototype', tensor({ name: '__proto__' }), 'not usable as the name'],
    ['a tensor with a name of 65 bytes', tensor({ name: 'n'.repeat(65) }), '65 bytes'],
    ['a tensor with a name that is not UTF-8', tensor({ name: Buffer.from([0xc0, 0xaf]) }), 'not UTF-8'],
    ['five dimensions', tensor({ shape: [1, 1, 1, 1, 1] }), '5 dimensions'],
    ['2^31 dimensions', tensor({ dimensions: 2 ** 31 }), 'claims 2147483648 dimensions'],
    ['a product of dimensions that overflows to nothing', tensor({ shape: [2n ** 32n, 2n ** 32n] }), 'impossible shape'],
    ['a dimension of 2^63', tensor({ shape: [HUGE] }), 'impossible shape'],
    ['dimensions that overflow before a zero', tensor({ shape: [2n ** 40n, 2n ** 40n, 0] }), 'impossible shape'],
    ['a row that is no whole number of blocks', tensor({ shape: [33], type: 2 }), 'impossible shape [33] for Q4_0'],
    ['an offset that is not aligned', tensor({ offset: 4 }), 'not a multiple of the alignment 32'],
    ['an offset of 2^63', tensor({ offset: HUGE }), 'not a multiple'],
    ['an offset beyond the file', tensor({ offset: 32 }), 'leave the file'],
    ['the last byte missing', { ...tensor({}), data: 31 }, 'leave the file'],
    ['tensors that overlap', { tensors: [{ name: 'a', shape: [16], offset: 0 }, { name: 'b', offset: 32 }], data: 64 }, '"a" and "b" overlap'],
    ['the same bytes twice', { tensors: [{ name: 'a', offset: 0 }, { name: 'b', offset: 0 }] }, 'overlap'],
    ...[0, 1, 7, 33, 2 ** 17, 2 ** 32 - 1].map((alignment): [string, RawGguf, string] => [`the alignment ${alignment}`, { pairs: [['general.alignment', raw.number(alignment)]] }, 'general.alignment']),
    ['an alignment that is a text', { pairs: [['general.alignment', raw.string('32')]] }, 'general.alignment'],
  ])('%s', async (_, gguf, says) => {
    await expectError(() => parse(rawGguf(gguf)), 'invalid-model', 'm.gguf: ', says);
  }); // prettier-ignore

  it.each([
    ['an unknown type of tensor', { ...tensor({ type: 99 }) }, 'unknown type 99'],
    ['a type that was given up', tensor({ type: 4 }), 'unknown type 4'],
    ['big-endian', { version: 0x0300_0000 }, 'big-endian'],
    ['version 1', { version: 1 }, 'version 1'],
    ['version 4', { version: 4 }, 'unknown version 4'],
    ['version 0', { version: 0 }, 'unknown version 0'],
  ] as [string, RawGguf, string][])('%s', async (_, gguf, says) => {
    await expectError(() => parse(rawGguf(gguf)), 'unsupported', 'm.gguf: ', says);
  });

  it.each([0, 3, 4, 8, 23])('a file that was cut off after %d bytes', async (size) => {
    await expectError(() => parse(WRITTEN_BY_PYTHON.subarray(0, size)), 'invalid-model', 'm.gguf: ');
  });

  it('a file cut off anywhere', async () => {
    for (let size = 0; size < 288 + 18; size += 1)
      await expectError(() => parse(WRITTEN_BY_PYTHON.subarray(0, size)), 'invalid-model', 'm.gguf: ');
  });

  it('what is something else', async () => {
    await expectError(() => parse(Buffer.from('<html>404')), 'invalid-model', 'begins with "<htm"');
  });

  it('more metadata for all parts than any model has', async () => {
    const pairs = Array.from(
      { length: 300 },
      (_, index) => [`k${index}`, raw.string('x'.repeat(4000))] as const,
    );
    await expectError(() => parse(rawGguf({ pairs })), 'invalid-model', 'more than any model has');
  });

  it('millions of keys in a moment', async () => {
    const pairs = Array.from({ length: 70_000 }, (_, index) => [`k${index}`, raw.number(1)] as const);
    await expectError(() => parse(rawGguf({ pairs })), 'invalid-model', '70000 metadata keys');
  });
});

it('never throws anything but CalyxError and never yields a tensor outside the file, however a header is changed', () => {
  const edit = fc.record({
    at: fc.nat(WRITTEN_BY_PYTHON.byteLength - 60),
    remove: fc.nat(2),
    insert: fc.oneof(
      fc.uint8Array({ maxLength: 3 }),
      fc.constantFrom(0n, 1n, 2n ** 31n, 2n ** 63n, 2n ** 64n - 1n).map((each) => raw.u64(each)),
    ),
    overwrite: fc.boolean(),
  });
  const seen = { refused: 0, accepted: 0 };
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 2 }), (edits) => {
      let bytes: Uint8Array = WRITTEN_BY_PYTHON;
      for (const { at, remove, insert, overwrite } of edits) {
        const rest = bytes.subarray(at + (overwrite ? insert.byteLength : remove));
        bytes = Buffer.concat([bytes.subarray(0, at), insert, rest]);
      }
      try {
        const header = parse(bytes);
        expect(header).toBeDefined();
        let end = 0;
        for (const { offset, length } of header?.tensors ?? []) {
          expect(offset).toBeGreaterThanOrEqual(length === 0 ? 0 : end);
          expect(offset + length).toBeLessThanOrEqual(bytes.byteLength);
          if (length > 0) end = offset + length;
        }
        seen.accepted += 1;
      } catch (error) {
        if (!isCalyxError(error, 'invalid-model', 'unsupported')) throw error;
        expect(error.message).toContain('m.gguf: ');
        seen.refused += 1;
      }
    }),
    { numRuns: 5000 },
  );
  // The changes must have reached both sides, or this proves nothing.
  expect(seen.refused).toBeGreaterThan(500);
  expect(seen.accepted).toBeGreaterThan(100);
});
