import { describe, expect, it } from 'vitest';
import { blobName, testBytes } from '../../../../test/support/blobs.js';
import { MemorySource } from '../../../../test/support/memory-source.js';
import { MemoryTree } from '../../../../test/support/memory-tree.js';
import {
  callForBuffers,
  callProcedure,
  hex,
  noBlobs,
  TEST_PEER,
  testExports,
  type TestCallOptions,
} from '../../../../test/support/nfs3-call.js';
import { CalyxError } from '../../../core/errors.js';
import { BufferPool } from '../../../storage/buffer-pool.js';
import { staticLease, type ByteSource } from '../../../storage/byte-source.js';
import { nfs3Program } from '../nfs3-program.js';

const READ = 6;
const MIB = 1024 * 1024;

/** READ3args for file id 3. */
function readArgs(offset: number, count: number): Buffer {
  const args = hex('0000000c 74726565 00000000 00000003 00000000 00000000 00000000');
  args.writeBigUInt64BE(BigInt(offset), 16);
  args.writeUInt32BE(count, 24);
  return args;
}

/** The fields of READ3resok; 92 bytes stand before them: status, and attributes with a word before them. */
function parse(answer: Buffer): { status: number; count: number; eof: number; data: Buffer } {
  const length = answer.readUInt32BE(100);
  expect(answer.byteLength).toBe(104 + ((length + 3) & ~3));
  return {
    status: answer.readUInt32BE(0),
    count: answer.readUInt32BE(92),
    eof: answer.readUInt32BE(96),
    data: answer.subarray(104, 104 + length),
  };
}

describe('READ', () => {
  const blob = testBytes(3 * MIB + 17, 'blob');
  const header = testBytes(129, 'header');
  const whole = Buffer.concat([header, blob.subarray(5)]);
  const segments = [{ literal: header }, { blob: blobName(blob), offset: 5, length: blob.byteLength - 5 }];
  const tree = new MemoryTree({ weights: segments });

  it.each([
    [0, 1], [0, 129], [1, 127], [127, 4], [128, 1], [128, 2], [129, 4096], [131, 65_537], [1_000_003, 999_983],
    [MIB, MIB], [2 * MIB + 1, MIB], [whole.byteLength - 1, 1], [whole.byteLength - 7, 4096],
  ])('at %i gives the %i bytes there', async (offset, count) => {
    const pool = new BufferPool();
    const exports = testExports(tree, new MemorySource('memory', new Map([[blobName(blob), blob]]), pool));
    const { status, count: got, eof, data } = parse(await callProcedure(nfs3Program(exports), READ, readArgs(offset, count)));
    const expected = whole.subarray(offset, offset + count);
    expect(status).toBe(0);
    expect(got).toBe(expected.byteLength);
    expect(data.equals(expected)).toBe(true);
    expect(eof).toBe(offset + got === whole.byteLength ? 1 : 0);
    expect(exports.read).toEqual([3n]);
  }); // prettier-ignore

  it('gives at most 1 MiB', async () => {
    const source = new MemorySource('memory', new Map([[blobName(blob), blob]]), new BufferPool());
    const { count, eof, data } = parse(
      await callProcedure(nfs3Program(testExports(tree, source)), READ, readArgs(0, 0xffff_ffff)),
    );
    expect(count).toBe(MIB);
    expect(eof).toBe(0);
    expect(data.equals(whole.subarray(0, MIB))).toBe(true);
  });

  it('answers short where very many segments begin, and says that more follows', async () => {
    const pieces = Array.from({ length: 40 }, (_, index) => ({ literal: testBytes(10, String(index)) }));
    const program = nfs3Program(testExports(new MemoryTree({ pieces }), noBlobs));
    const all = Buffer.concat(pieces.map(({ literal }) => literal));
    const read: Buffer[] = [];
    for (let offset = 0, eof = 0; eof === 0;) {
      const answer = parse(await callProcedure(program, READ, readArgs(offset, 400)));
      expect(answer.count).toBeGreaterThan(0);
      read.push(answer.data);
      offset += answer.count;
      eof = answer.eof;
      expect(eof).toBe(offset === 400 ? 1 : 0);
    }
    expect(Buffer.concat(read).equals(all)).toBe(true);
    expect(read.length).toBeGreaterThan(1);
  });

  it('says of an empty file that it ends', async () => {
    const program = nfs3Program(testExports(new MemoryTree({ empty: '' }), noBlobs));
    expect(parse(await callProcedure(program, READ, readArgs(0, 4096)))).toMatchObject({ status: 0, count: 0, eof: 1 });
  }); // prettier-ignore

  it('passes on the very buffers of the source, and gives them back once', async () => {
    const parts = [testBytes(100_000, 'a'), testBytes(24, 'b')];
    let released = 0;
    const source: ByteSource = {
      name: 'lender',
      read: () => ({ parts, release: () => (released += 1) }),
      close: () => Promise.resolve(),
    };
    const lent = new MemoryTree({ file: [{ blob: 'b'.repeat(64), offset: 0, length: 100_024 }] });
    const result = await callForBuffers(nfs3Program(testExports(lent, source)), READ, readArgs(0, MIB));
    expect(parts.map((part) => result.buffers.includes(part))).toEqual([true, true]);
    expect(released).toBe(0);
    result.release();
    expect(released).toBe(1);
  });

  it('takes no buffer before it has room for the reply', async () => {
    const events: string[] = [];
    let grant = (): void => undefined;
    const source: ByteSource = {
      name: 'watched',
      read: (_, __, length) => {
        events.push(`read ${length}`);
        return staticLease(testBytes(length));
      },
      close: () => Promise.resolve(),
    };
    const lent = new MemoryTree({ file: [{ blob: 'b'.repeat(64), offset: 0, length: 5000 }] });
    const options: TestCallOptions = {
      reserve: (bytes) => {
        events.push(`reserve ${bytes}`);
        return new Promise((resolve) => (grant = resolve));
      },
    };
    const answer = callProcedure(nfs3Program(testExports(lent, source)), READ, readArgs(4000, MIB), options);
    await expect.poll(() => events).toEqual(['reserve 1000']);
    grant();
    expect(parse(await answer).count).toBe(1000);
    expect(events).toEqual(['reserve 1000', 'read 1000']);
  });

  it.each([
    [new CalyxError('not-found', 'removed'), 70],
    [new CalyxError('unavailable', 'the source is being replaced'), 10_008],
    [new CalyxError('timeout', 'slow'), 10_008],
    [new CalyxError('busy', 'busy'), 10_008],
    [new CalyxError('aborted', 'aborted'), 10_008],
    [new DOMException('too late', 'TimeoutError'), 10_008],
    [new CalyxError('corrupt', 'wrong bytes'), 5],
    [new CalyxError('unreadable', 'the disk reported an I/O error'), 5],
    [new CalyxError('usage', 'nothing the client asked for'), 5],
    [new TypeError('a fault of ours'), 5],
  ])('that fails with %s answers %i and is reported', async (error, status) => {
    const source: ByteSource = {
      name: 'failing',
      read: () => Promise.reject(error),
      close: () => Promise.resolve(),
    };
    const exports = testExports(tree, source);
    const answer = await callProcedure(nfs3Program(exports), READ, readArgs(4096, 4096));
    expect(answer.readUInt32BE(0)).toBe(status);
    expect(answer.readUInt32BE(4)).toBe(1);
    expect(answer.byteLength).toBe(92);
    const what = `NFSv3 READ of file 3 of org/name@${'f'.repeat(40)}`;
    expect(exports.errors).toEqual([{ what, peer: TEST_PEER, error }]);
  });

  it('that nobody waits for any more ends the read of the source, and is not reported', async () => {
    const gone = new AbortController();
    const source: ByteSource = {
      name: 'slow',
      read: (_, __, ___, options) =>
        new Promise((_resolve, reject) => {
          options?.signal?.addEventListener('abort', () => reject(new CalyxError('aborted', 'gone')));
        }),
      close: () => Promise.resolve(),
    };
    const exports = testExports(tree, source);
    const { signal } = gone;
    const answer = callProcedure(nfs3Program(exports), READ, readArgs(4096, 4096), { signal });
    await expect.poll(() => exports.read.length).toBe(1);
    gone.abort();
    expect((await answer).readUInt32BE(0)).toBe(10_008);
    expect(exports.errors).toEqual([]);
  });
});
