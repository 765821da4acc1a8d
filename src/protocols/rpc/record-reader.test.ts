import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/expect-error.js';
import { RecordReader } from './record-reader.js';

const bytes = (digits: string): Buffer => Buffer.from(digits.replaceAll(' ', ''), 'hex');

/** Everything that comes out after each of the chunks. */
function readAll(reader: RecordReader, chunks: readonly Buffer[]): string[] {
  const records: string[] = [];
  for (const chunk of chunks) {
    reader.push(chunk);
    for (let record = reader.next(); record !== undefined; record = reader.next())
      records.push(Buffer.from(record).toString('hex'));
  }
  return records;
}

function singly(stream: Buffer): Buffer[] {
  return [...stream].map((byte) => Buffer.from([byte]));
}

/** Two records, the second in three fragments of which one is empty. */
const STREAM = bytes('80000004 01020304 00000002 0506 00000000 80000003 070809');
const RECORDS = ['01020304', '0506070809'];

describe('RecordReader', () => {
  it('reads records and fragments from one chunk', () => {
    expect(readAll(new RecordReader(100), [STREAM])).toEqual(RECORDS);
  });

  it('reads them byte by byte', () => {
    const reader = new RecordReader(100);
    expect(readAll(reader, singly(STREAM))).toEqual(RECORDS);
    expect(reader.midRecord).toBe(false);
  });

  it('does not copy a record that stands in one chunk', () => {
    const reader = new RecordReader(100);
    reader.push(STREAM);
    const record = reader.next();
    expect(record?.buffer).toBe(STREAM.buffer);
    expect(reader.arrival.bytes).toBe(STREAM.byteLength);
  });

  it('says whether it is in the middle of a record', () => {
    const reader = new RecordReader(100);
    expect(reader.midRecord).toBe(false);
    for (const byte of singly(STREAM.subarray(0, 7))) {
      expect(readAll(reader, [byte])).toEqual([]);
      expect(reader.midRecord).toBe(true);
    }
    expect(readAll(reader, [STREAM.subarray(7, 8)])).toEqual(['01020304']);
    expect(reader.midRecord).toBe(false);
    expect(readAll(reader, [STREAM.subarray(8, 14)])).toEqual([]);
    expect(reader.midRecord).toBe(true);
  });

  it('refuses a record that is too long as soon as it is announced', async () => {
    await expectError(() => readAll(new RecordReader(100), [bytes('80000065')]), 'corrupt', '100 bytes');
    const fragments = bytes(`00000064 ${'00'.repeat(100)} 80000001`);
    await expectError(() => readAll(new RecordReader(100), [fragments]), 'corrupt', '100 bytes');
    expect(readAll(new RecordReader(100), [bytes(`80000064 ${'00'.repeat(100)}`)])).toHaveLength(1);
  });

  it('refuses endless empty fragments', async () => {
    const empty = Buffer.alloc(4 * 1000);
    await expectError(() => readAll(new RecordReader(100), [empty]), 'corrupt', 'empty fragments');
    await expectError(() => readAll(new RecordReader(100), singly(empty)), 'corrupt', 'empty fragments');
  });

  it('takes memory for what came, not for what was announced', () => {
    const reader = new RecordReader(1 << 30);
    readAll(reader, [bytes('bfffffff 01')]);
    expect(reader.collecting).toBeLessThanOrEqual(4096);
    readAll(reader, [Buffer.alloc(50_000)]);
    expect(reader.collecting).toBeLessThanOrEqual(2 * 50_001);
    for (let sent = 0; sent < 500; sent += 1) readAll(reader, [Buffer.alloc(1000)]);
    expect(reader.collecting).toBeLessThanOrEqual(2 * 550_001);
  });

  it('finds the same records however they are cut into fragments and chunks', () => {
    const record = fc.array(fc.uint8Array({ maxLength: 12 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(
        fc.array(record, { maxLength: 5 }),
        fc.array(fc.integer({ min: 1, max: 9 })),
        (records, cuts) => {
          const stream = Buffer.concat(records.flatMap((fragments) => fragments.flatMap(withMark)));
          const chunks: Buffer[] = [];
          let at = 0;
          for (const cut of cuts) chunks.push(stream.subarray(at, (at += cut)));
          chunks.push(stream.subarray(at));
          const expected = records.map((fragments) => Buffer.concat(fragments).toString('hex'));
          expect(readAll(new RecordReader(100), chunks)).toEqual(expected);
        },
      ),
    );
  });
});

function withMark(fragment: Uint8Array, index: number, fragments: readonly Uint8Array[]): Uint8Array[] {
  const mark = Buffer.alloc(4);
  mark.writeUInt32BE((index === fragments.length - 1 ? 0x8000_0000 : 0) + fragment.byteLength);
  return [mark, fragment];
}
