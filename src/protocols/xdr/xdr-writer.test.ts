import { describe, expect, it } from 'vitest';
import { XdrWriter, type Payload } from './xdr-writer.js';

const PARTS = [Buffer.from('abc'), Buffer.alloc(0), Buffer.from('de')];

function payloadOf(parts: readonly Uint8Array[]): Payload & { released: number } {
  const payload = { parts, released: 0, release: () => void (payload.released += 1) };
  return payload;
}

const joined = (buffers: readonly Uint8Array[]): string => Buffer.concat(buffers).toString('hex');

describe('payload', () => {
  it('stands between what was written as the very buffers it came in, padded, and is released once', () => {
    const writer = new XdrWriter();
    const payload = payloadOf(PARTS);
    writer.uint32(1);
    writer.payload(payload);
    writer.uint32(2);
    expect(writer.byteLength).toBe(20);
    const written = writer.finish();
    expect(joined(written.buffers)).toBe('00000001' + '00000005' + '6162636465' + '000000' + '00000002');
    expect(written.byteLength).toBe(20);
    expect(written.buffers).toHaveLength(4);
    expect(written.buffers[1]).toBe(PARTS[0]);
    expect(written.buffers[2]).toBe(PARTS[2]);
    expect(payload.released).toBe(0);
    written.release();
    written.release();
    expect(payload.released).toBe(1);
  });

  it('may be empty', () => {
    const writer = new XdrWriter();
    writer.payload(payloadOf([]));
    expect(joined(writer.finish().buffers)).toBe('00000000');
  });
});

describe('keepPayloads', () => {
  it('gives payloads back before the end, and leaves room for words that are set later', () => {
    const writer = new XdrWriter();
    const lent = Buffer.from('abcd');
    const payload = payloadOf([lent]);
    const later = writer.laterUint32();
    writer.payload(payload);
    writer.keepPayloads();
    expect(payload.released).toBe(1);
    lent.fill(0);
    const last = payloadOf([Buffer.from('efgh')]);
    writer.payload(last);
    later(7);
    const written = writer.finish();
    expect(joined(written.buffers)).toBe('00000007' + '00000004' + '61626364' + '00000004' + '65666768');
    expect(last.released).toBe(0);
    written.release();
    expect([payload.released, last.released]).toEqual([1, 1]);
  });
});

describe('rewind', () => {
  it('forgets what was written since, also over several buffers', () => {
    const writer = new XdrWriter();
    writer.uint32(1);
    const mark = writer.byteLength;
    for (let index = 0; index < 1000; index += 1) writer.uint32(9);
    writer.rewind(mark);
    expect(writer.byteLength).toBe(4);
    writer.uint32(2);
    expect(joined(writer.finish().buffers)).toBe('0000000100000002');
  });

  it('goes back into the middle of a full buffer', () => {
    const writer = new XdrWriter();
    for (let index = 0; index < 100; index += 1) writer.uint32(index);
    const mark = writer.byteLength;
    for (let index = 0; index < 1000; index += 1) writer.uint32(9);
    writer.rewind(mark);
    writer.uint32(100);
    const all = Buffer.concat(writer.finish().buffers);
    expect(all).toHaveLength(404);
    for (let index = 0; index <= 100; index += 1) expect(all.readUInt32BE(4 * index)).toBe(index);
  });

  it('goes back to the end of a payload and not further', () => {
    const writer = new XdrWriter();
    const before = writer.byteLength;
    writer.payload(payloadOf(PARTS));
    const after = writer.byteLength;
    writer.uint32(3);
    writer.rewind(after);
    expect(() => writer.rewind(before)).toThrow(RangeError);
    expect(() => writer.rewind(after + 4)).toThrow(RangeError);
    expect(joined(writer.finish().buffers)).toBe('000000056162636465000000');
  });
});

it('pads bytes of any length, wherever its buffers end', () => {
  for (const before of [0, 4, 500, 504, 508, 512, 1020]) {
    for (let length = 0; length < 1100; length += 1) {
      const writer = new XdrWriter();
      writer.raw(Buffer.alloc(before, 0x11));
      writer.fixedOpaque(Buffer.alloc(length, 0x22));
      writer.uint32(0x33333333);
      const expected = Buffer.concat([
        Buffer.alloc(before, 0x11),
        Buffer.alloc(length, 0x22),
        Buffer.alloc(-length & 3),
        Buffer.alloc(4, 0x33),
      ]);
      expect(Buffer.concat(writer.finish().buffers).equals(expected), `${before} and ${length}`).toBe(true);
    }
  }
});

it('sets a word later, also after its buffer is full', () => {
  const writer = new XdrWriter();
  const later = writer.laterUint32();
  writer.raw(Buffer.alloc(2000));
  writer.uint32(5);
  later(0xfedcba98);
  const all = Buffer.concat(writer.finish().buffers);
  expect(all.subarray(0, 4).toString('hex')).toBe('fedcba98');
  expect(all).toHaveLength(2008);
  expect(all.subarray(2004).toString('hex')).toBe('00000005');
});

it('writes a set of bits with the highest as an unsigned word', () => {
  const writer = new XdrWriter();
  writer.uint32((1 << 31) | 1);
  expect(joined(writer.finish().buffers)).toBe('80000001');
});
