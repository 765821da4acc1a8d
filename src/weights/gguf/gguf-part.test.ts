import { describe, expect, it } from 'vitest';
import type { GgufMetadata } from './gguf-metadata.js';
import { layOutGgufPart } from './gguf-part.js';

const METADATA: GgufMetadata = {
  alignment: 32,
  pairCount: 1,
  pairs: Buffer.from('\x01\0\0\0\0\0\0\0k\x04\0\0\0\x07\0\0\0', 'latin1'),
  furtherCount: 2,
  further: [{ offset: 100, length: 1000 }],
};
const TENSORS = [
  { name: 'blk.0.w', dtype: 'F32', shape: [3, 2], offset: 12_345, length: 24 },
  { name: 't', dtype: 'Q4_0', shape: [32, 1], offset: 99_999, length: 18 },
];

describe('layOutGgufPart', () => {
  it('writes these bytes', () => {
    const { start, descriptions, padding } = layOutGgufPart(TENSORS, METADATA, false);
    expect(Buffer.from(start).toString('latin1')).toBe(
      'GGUF\x03\0\0\0\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0k\x04\0\0\0\x07\0\0\0',
    );
    // The second begins at the alignment after the first; the data begins 160 bytes into the file.
    expect(Buffer.from(descriptions).toString('latin1')).toBe(
      '\x07\0\0\0\0\0\0\0blk.0.w\x02\0\0\0\x03\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' +
        '\x01\0\0\0\0\0\0\0t\x02\0\0\0\x20\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\x20\0\0\0\0\0\0\0' +
        '\0'.repeat(160 - 41 - 88),
    );
    expect(start.byteLength + descriptions.byteLength).toBe(160);
    expect(padding).toEqual([8, 14]);
  });

  it('counts the further metadata where it is carried, and aligns behind it', () => {
    const { start, descriptions } = layOutGgufPart(TENSORS, METADATA, true);
    expect(Buffer.from(start).readBigUInt64LE(16)).toBe(3n);
    expect((start.byteLength + 1000 + descriptions.byteLength) % 32).toBe(0);
  });

  it('follows another alignment', () => {
    const { start, descriptions, padding } = layOutGgufPart(TENSORS, { ...METADATA, alignment: 8 }, false);
    expect(padding).toEqual([0, 6]);
    expect((start.byteLength + descriptions.byteLength) % 8).toBe(0);
    expect(Buffer.from(descriptions).readBigUInt64LE(47 + 8 + 1 + 4 + 16 + 4)).toBe(24n);
  });
});
