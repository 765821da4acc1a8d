import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  array,
  bool,
  decodeWhole,
  encodeWhole,
  enumeration,
  fixedOpaque,
  int32,
  int64,
  list,
  nothing,
  opaque,
  optional,
  payload,
  position64,
  struct,
  text,
  uint32,
  uint64,
  union,
  type AnyCodec,
  type Codec,
} from './codec.js';
import { XdrError } from './xdr-error.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytes = (digits: string): Buffer => Buffer.from(digits.replaceAll(' ', ''), 'hex');

/** RFC 4506, section 7: the file of John. */
const file = struct({
  filename: text(255),
  type: union({ text: [0, nothing], data: [1, text(255)], exec: [2, text(255)] }),
  owner: text(32),
  data: opaque(65_535),
});
const JOHNS_FILE = bytes(
  '00000009 73696c6c 7970726f 67000000 00000002 00000004 6c697370 00000004 6a6f686e 00000006 28717569 74290000',
);

it('writes and reads the example of RFC 4506', () => {
  const value = {
    filename: 'sillyprog',
    type: { kind: 'exec', value: 'lisp' },
    owner: 'john',
    data: Buffer.from('(quit)'),
  } as const;
  expect(hex(encodeWhole(file, value))).toBe(hex(JOHNS_FILE));
  expect(decodeWhole(file, JOHNS_FILE)).toEqual(value);
});

describe('each type stands as RFC 4506 has it', () => {
  const colours = enumeration({ red: 2, yellow: 3, minus: -1 });
  const cases: readonly (readonly [string, AnyCodec, unknown, string])[] = [
    ['4.1 integer', int32, -2, 'fffffffe'],
    ['4.2 unsigned integer', uint32, 0xfffffffe, 'fffffffe'],
    ['4.3 enumeration', colours, 'yellow', '00000003'],
    ['4.3 enumeration, negative', colours, 'minus', 'ffffffff'],
    ['4.4 boolean', bool, true, '00000001'],
    ['4.5 hyper', int64, -2n, 'fffffffffffffffe'],
    ['4.5 unsigned hyper', uint64, 0x0102030405060708n, '0102030405060708'],
    ['4.5 unsigned hyper as a number', position64, 2 ** 53 - 1, '001fffffffffffff'],
    ['4.9 fixed opaque', fixedOpaque(5), bytes('0102030405'), '0102030405000000'],
    ['4.10 opaque', opaque(9), bytes('0102030405'), '000000050102030405000000'],
    ['4.10 opaque without bytes', opaque(9), bytes(''), '00000000'],
    ['4.11 string', text(9), 'é', '00000002c3a90000'],
    ['4.13 array', array(uint32, 3), [1, 2], '000000020000000100000002'],
    ['4.16 void', nothing, undefined, ''],
    ['4.19 optional, there', optional(uint32), 7, '0000000100000007'],
    ['4.19 optional, not there', optional(uint32), undefined, '00000000'],
    ['4.19 list', list(uint32, 3), [7, 8], '00000001 00000007 00000001 00000008 00000000'],
  ];
  it.each(cases)('%s', (_name, codec, value, digits) => {
    const typed = codec as Codec<unknown>;
    expect(hex(encodeWhole(typed, value))).toBe(hex(bytes(digits)));
    expect(decodeWhole(typed, bytes(digits))).toEqual(value);
  });
});

describe('what is not as it should be is refused', () => {
  const cases: readonly (readonly [string, AnyCodec, string])[] = [
    ['cut off', uint32, '000000'],
    ['cut off in a hyper', uint64, '00000000000000'],
    ['bytes left over', uint32, '0000000000'],
    ['a boolean of 2', bool, '00000002'],
    ['an unknown enumerator', enumeration({ red: 2 }), '00000003'],
    ['an unknown arm', union({ one: [1, nothing] }), '00000002'],
    ['an opaque over its maximum', opaque(4), '00000005 0102030405000000'],
    ['an opaque of 4 GiB', opaque(2 ** 32), 'ffffffff 00'],
    ['an opaque without its padding', opaque(8), '00000005 0102030405'],
    ['padding that is not zero', opaque(8), '00000005 0102030405000001'],
    ['padding of a fixed opaque that is not zero', fixedOpaque(3), '01020301'],
    ['text that is not UTF-8', text(8), '00000002 c3280000'],
    ['an array over its maximum', array(nothing, 2), '00000003'],
    ['an array of 4 billion, cut off', array(uint32, 2 ** 32), 'ffffffff 00000001'],
    ['a list over its maximum', list(nothing, 2), '00000001 00000001 00000001 00000000'],
    ['a list without an end', list(uint32, 9), '00000001 00000001'],
    ['a payload over its maximum', payload(4), '00000005 0102030405000000'],
  ];
  it.each(cases)('%s', (_name, codec, digits) => {
    expect(() => decodeWhole(codec as Codec<unknown>, bytes(digits))).toThrow(XdrError);
  });

  it('whatever the bytes, reading them ends with a value or an XdrError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(JOHNS_FILE.length - 1), (noise, at) => {
        const mutated = Buffer.from(JOHNS_FILE);
        mutated.set(noise.subarray(0, mutated.length - at), at);
        for (const input of [noise, mutated]) {
          try {
            decodeWhole(file, input);
          } catch (error) {
            expect(error).toBeInstanceOf(XdrError);
          }
        }
      }),
    );
  });
});

describe('what does not fit is not written', () => {
  const cases: readonly (readonly [string, AnyCodec, unknown])[] = [
    ['an opaque over its maximum', opaque(2), bytes('010203')],
    ['text over its maximum, counted in bytes', text(3), 'éé'],
    ['a fixed opaque of another length', fixedOpaque(2), bytes('01')],
    ['an array over its maximum', array(uint32, 1), [1, 2]],
    ['an unknown enumerator', enumeration({ red: 2 }), 'blue'],
  ];
  it.each(cases)('%s', (_name, codec, value) => {
    expect(() => encodeWhole(codec as Codec<unknown>, value)).toThrow(XdrError);
  });

  it('a number out of its range', () => {
    expect(() => encodeWhole(int32, 2 ** 31)).toThrow(RangeError);
    expect(() => encodeWhole(position64, -1)).toThrow(RangeError);
    expect(() => encodeWhole(uint64, -1n)).toThrow(RangeError);
  });
});

it('takes an offset beyond what a number holds for the largest', () => {
  expect(decodeWhole(position64, bytes('ffffffffffffffff'))).toBe(Number.MAX_SAFE_INTEGER);
  expect(decodeWhole(position64, bytes('0020000000000000'))).toBe(Number.MAX_SAFE_INTEGER);
});

it('decodes bytes as views', () => {
  const input = bytes('00000003 01020300');
  const view = decodeWhole(opaque(3), input);
  expect(view.buffer).toBe(input.buffer);
  expect(decodeWhole(payload(3), input).parts[0]?.buffer).toBe(input.buffer);
});
