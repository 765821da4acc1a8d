import { describe, expect, it } from 'vitest';
import { crc32 } from './crc32.js';

describe('crc32', () => {
  // The check value of the catalogue of parametrised CRC algorithms (CRC-32/ISO-HDLC), and values of zlib.
  it.each([
    ['123456789', 0xcbf43926],
    ['', 0],
    ['a', 0xe8b7be43],
    ['The quick brown fox jumps over the lazy dog', 0x414fa339],
  ])('of %j', (text, expected) => {
    expect(crc32(Buffer.from(text))).toBe(expected);
  });

  it('goes on from what stands before', () => {
    const bytes = Buffer.from('123456789');
    expect(crc32(bytes, 4, 9, crc32(bytes, 0, 4))).toBe(0xcbf43926);
  });
});
