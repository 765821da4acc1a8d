import { describe, expect, it } from 'vitest';
import { decodeEntry, decodePackHead, decodeSegmentHead, encodeEntry, encodePackHead, encodeSegmentHead, generationSeed } from './pack-format.js'; // prettier-ignore

// Bytes made with Python's struct and zlib.crc32, as docs/formats.md describes them.
const PACK_HEAD = '63616c79782d63616368652d310a0000000041008b1f9fc3';
const SEGMENT_HEAD = '43534547010000000605040302010000000000000000000000000000772d5981';
const ENTRY = 'abababababababababababababababababababababababababababababababab40420f000000400021f2bed9';

describe('the pack format', () => {
  it('has these bytes', () => {
    expect(encodePackHead(4_259_840).toString('hex')).toBe(PACK_HEAD);
    expect(encodeSegmentHead({ queue: 'main', generation: 0x0102_0304_0506 }).toString('hex')).toBe(
      SEGMENT_HEAD,
    );
    const entry = Buffer.alloc(44);
    encodeEntry(entry, 0, generationSeed(0x0102_0304_0506), Buffer.alloc(32, 0xab), 1_000_000, 4_194_304);
    expect(entry.toString('hex')).toBe(ENTRY);
  });

  it('is read as it was written', () => {
    expect(decodePackHead(Buffer.from(PACK_HEAD + '00'.repeat(40), 'hex'))).toBe(4_259_840);
    expect(decodeSegmentHead(Buffer.from(SEGMENT_HEAD, 'hex'))).toEqual({ queue: 'main', generation: 0x0102_0304_0506 }); // prettier-ignore
    const place = decodeEntry(Buffer.from(ENTRY, 'hex'), 0, generationSeed(0x0102_0304_0506));
    expect(place).toEqual({ offset: 1_000_000, length: 4_194_304 });
  });

  it('recognises each flipped bit, zeros, and entries of another generation', () => {
    const entry = Buffer.from(ENTRY, 'hex');
    const seed = generationSeed(0x0102_0304_0506);
    expect(decodeEntry(entry, 0, generationSeed(0x0102_0304_0507))).toBeUndefined();
    expect(decodeEntry(Buffer.alloc(44), 0, seed)).toBeUndefined();
    expect(decodeSegmentHead(Buffer.alloc(32))).toBeUndefined();
    expect(decodePackHead(Buffer.alloc(64))).toBeUndefined();
    expect(decodePackHead(Buffer.alloc(3))).toBeUndefined();
    for (let bit = 0; bit < 44 * 8; bit += 1) {
      const flipped = Buffer.from(entry);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(decodeEntry(flipped, 0, seed)).toBeUndefined();
    }
    for (let bit = 0; bit < 32 * 8; bit += 1) {
      const flipped = Buffer.from(SEGMENT_HEAD, 'hex');
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(decodeSegmentHead(flipped)).toBeUndefined();
    }
  });
});
