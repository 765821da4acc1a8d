import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../test/support/expect-error.js';
import { isCalyxError } from '../core/errors.js';
import { dtypeBits } from './dtype.js';
import { checkTensor, encodeHeader, parseHeader, parseHeaderLength } from './safetensors-header.js';

const read = (json: string, dataBytes = 0) => {
  const bytes = Buffer.from(json);
  return parseHeader(bytes, 8 + bytes.byteLength + dataBytes, 'w.safetensors');
};

describe('parseHeaderLength', () => {
  it('reads a little-endian u64 wherever it stands in its buffer', () => {
    const bytes = Uint8Array.of(0xff, 0x10, 0x01, 0, 0, 0, 0, 0, 0, 0xff).subarray(1, 9);
    expect(parseHeaderLength(bytes, 8 + 272, 'f')).toBe(272);
  });

  it('takes a header of exactly 100 MB and none above it', async () => {
    const field = (length: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(length).buffer);
    expect(parseHeaderLength(field(100_000_000n), 100_000_008, 'f')).toBe(100_000_000);
    await expectError(
      () => parseHeaderLength(field(100_000_001n), 1e12, 'f'),
      'invalid-model',
      'f: ',
      'claims 100000001 bytes',
      '100000000',
    );
    await expectError(
      () => parseHeaderLength(field(0xffff_ffff_ffff_ffffn), 1e12, 'f'),
      'invalid-model',
      'claims 18446744073709551615 bytes',
    );
  });
});

describe('parseHeader', () => {
  it('gives absolute extents by ascending offset', () => {
    const json =
      '{"b":{"dtype":"BF16","shape":[2,2],"data_offsets":[4,12]},"__metadata__":{"format":"pt"},' +
      '"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"e":{"dtype":"I64","shape":[3,0],"data_offsets":[4,4]}}  ';
    const start = 8 + json.length;
    expect(read(json, 12)).toEqual([
      { name: 'a', dtype: 'F32', shape: [], offset: start, length: 4 },
      { name: 'e', dtype: 'I64', shape: [3, 0], offset: start + 4, length: 0 },
      { name: 'b', dtype: 'BF16', shape: [2, 2], offset: start + 4, length: 8 },
    ]);
  });

  it('takes a header without tensors, and shapes and names up to their limits', () => {
    expect(read('{}')).toEqual([]);
    const name = 'é'.repeat(512);
    const json = JSON.stringify({ [name]: { dtype: 'U8', shape: Array(16).fill(1), data_offsets: [0, 1] } });
    expect(read(json, 1)[0]?.name).toBe(name);
  });

  // Sizes of elements as in the safetensors format, by the bytes that 8 of them take.
  it.each([
    ['F4', 4], ['F6_E2M3', 6], ['F6_E3M2', 6], ['BOOL', 8], ['U8', 8], ['I8', 8], ['F8_E4M3', 8], ['F8_E5M2', 8],
    ['F8_E8M0', 8], ['F8_E4M3FNUZ', 8], ['F8_E5M2FNUZ', 8], ['U16', 16], ['I16', 16], ['F16', 16], ['BF16', 16],
    ['U32', 32], ['I32', 32], ['F32', 32], ['U64', 64], ['I64', 64], ['F64', 64], ['C64', 64],
  ])('8 elements of %s take %i bytes', async (dtype, bytes) => {
    const entry = (end: number): string => `{"t":{"dtype":"${dtype}","shape":[8],"data_offsets":[0,${end}]}}`;
    expect(read(entry(bytes), bytes)[0]?.length).toBe(bytes);
    expect(dtypeBits(dtype)).toBe(bytes);
    await expectError(() => read(entry(bytes + 1), bytes + 1), 'invalid-model', 'tensor "t"', `takes ${bytes} bytes`);
  }); // prettier-ignore

  it('knows no other dtypes, not even names that every object has', () => {
    for (const dtype of ['', 'f32', 'F128', 'Q4_0', 'constructor', '__proto__', 'F32 '])
      expect(dtypeBits(dtype)).toBeUndefined();
  });

  it('never throws anything but CalyxError and never yields a tensor outside the file, however a header is changed', () => {
    const valid = [
      '{"__metadata__":{"format":"pt"},"model.norm.weight":{"dtype":"BF16","shape":[64],"data_offsets":[0,128]},',
      '"w":{"dtype":"F32","shape":[2,3],"data_offsets":[128,152]},"x":{"dtype":"F4","shape":[6],"data_offsets":[152,155]}}',
    ].join('');
    const pieces = ['', 'w', ' ', '1', '"', '{', '}', '[', ']', ',', ':', '0', '9', '-', '.', 'e9', '1e999', '9007199254740993', 'F64', '\\', '\0', '\\ud800', 'w', ' ']; // prettier-ignore
    const edit = fc.record({
      at: fc.nat(valid.length),
      remove: fc.nat(2),
      insert: fc.oneof(
        fc.constantFrom(...pieces).map((piece) => Buffer.from(piece)),
        fc.uint8Array({ maxLength: 3 }),
      ),
    });
    let refused = 0;
    let accepted = 0;
    fc.assert(
      fc.property(
        fc.array(edit, { minLength: 1, maxLength: 2 }),
        fc.oneof(fc.nat(8), fc.integer({ min: -160, max: -1 })),
        (edits, more) => {
          let bytes: Uint8Array = Buffer.from(valid);
          for (const { at, remove, insert } of edits)
            bytes = Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)]);
          const dataStart = 8 + bytes.byteLength;
          const fileSize = Math.max(dataStart, dataStart + 155 + more);
          try {
            let end = dataStart;
            for (const tensor of parseHeader(bytes, fileSize, 'w.safetensors')) {
              expect(tensor.offset).toBeGreaterThanOrEqual(tensor.length === 0 ? dataStart : end);
              expect(tensor.offset + tensor.length).toBeLessThanOrEqual(fileSize);
              if (tensor.length > 0) end = tensor.offset + tensor.length;
            }
            accepted += 1;
          } catch (error) {
            if (!isCalyxError(error, 'invalid-model')) throw error;
            expect(error.message).toContain('w.safetensors: ');
            refused += 1;
          }
        },
      ),
      { numRuns: 3000 },
    );
    // The mutations must have reached both sides, or this proves nothing.
    expect(refused).toBeGreaterThan(100);
    expect(accepted).toBeGreaterThan(30);
  });
});

describe('checkTensor', () => {
  const good = { name: 't', dtype: 'F32', shape: [4], offset: 8, length: 16 };

  it.each([
    ['outside the file', { offset: 9 }, 'leave the file'],
    ['at a negative offset', { offset: -1 }, 'leave the file'],
    ['at a fraction', { offset: 0.5 }, 'leave the file'],
    ['at no number', { offset: Number.NaN }, 'leave the file'],
    ['of infinite length', { length: Infinity }, 'leave the file'],
    [
      'named like the metadata, which would stand twice in a header',
      { name: '__metadata__' },
      'not usable as the name',
    ],
    ['of a shape that fits by being negative twice', { shape: [-2, -2] }, 'impossible shape'],
    [
      'of a shape that overflows before a zero makes it empty',
      { shape: [2 ** 40, 2 ** 40, 0], length: 0 },
      'impossible shape',
    ],
  ])('refuses a tensor %s', async (_, change, says) => {
    await expectError(() => checkTensor({ ...good, ...change }, 24, 'f'), 'invalid-model', 'f: ', says);
    expect(() => checkTensor(good, 24, 'f')).not.toThrow();
  });
});

describe('encodeHeader', () => {
  it('writes these bytes', () => {
    const json =
      '{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[],"data_offsets":[8,9]}}';
    expect(json).toHaveLength(136);
    const header = encodeHeader([
      { name: 'a', dtype: 'F32', shape: [2], length: 8 },
      { name: 'b', dtype: 'U8', shape: [], length: 1 },
    ]);
    expect(Buffer.from(header).toString('latin1')).toBe(`\x88\0\0\0\0\0\0\0${json}`);
  });

  it('pads to 8 bytes with spaces, and counts UTF-8 bytes, not characters', () => {
    expect(Buffer.from(encodeHeader([])).toString('latin1')).toBe(
      '\x20\0\0\0\0\0\0\0{"__metadata__":{"format":"pt"}}',
    );
    const header = Buffer.from(encodeHeader([{ name: 'é"\n', dtype: 'U8', shape: [1], length: 1 }]));
    expect(header.toString('utf8', 8)).toBe(
      '{"__metadata__":{"format":"pt"},"é\\"\\n":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}       ',
    );
    expect(header.readBigUInt64LE()).toBe(96n);
    expect(header.byteLength).toBe(104);
  });
});
