import { describe, expect, it } from 'vitest';
import type { TreeFile } from '../../catalog/file-tree.js';
import { BufferPool } from '../../storage/buffer-pool.js';
import type { ByteSource, Lease } from '../../storage/byte-source.js';
import { readFileRange } from './read-file.js';

const BLOB = 'ab'.repeat(32);
const KIB = 1024;
const signal = new AbortController().signal;

/** A source whose blob has at each offset the lowest byte of the offset, with buffers of a pool. */
function pooled(pool: BufferPool): ByteSource {
  return {
    name: 'pooled',
    read: async (_, offset, length) => {
      const lease = await pool.take(length, signal);
      lease.buffer.forEach((_, index) => (lease.buffer[index] = (offset + index) & 255));
      return lease;
    },
    close: () => Promise.resolve(),
  };
}

function fileOf(...segments: TreeFile['segments']): TreeFile {
  const size = segments.reduce(
    (sum, part) => sum + ('literal' in part ? part.literal.byteLength : part.length),
    0,
  );
  return { kind: 'file', size, segments };
}

function bytesOf({ parts }: Lease): string {
  return Buffer.concat(parts).toString('hex');
}

describe('a range of a file', () => {
  const literal = Buffer.from('6865616465720a', 'hex');
  const scattered = fileOf(
    { literal },
    { blob: BLOB, offset: 0x10, length: 4 },
    { blob: BLOB, offset: 0x40, length: 4 },
    { blob: BLOB, offset: 0x80, length: 4 },
  );

  it('holds no buffer of the pool while it waits for another', async () => {
    // One buffer: who keeps one and asks for a second waits for ever.
    const pool = new BufferPool({ budgetBytes: 64 * KIB });
    const lease = await readFileRange(scattered, 5, 13, pooled(pool), signal);
    expect(bytesOf(lease)).toBe('720a' + '10111213' + '40414243' + '808182');
  });

  it('holds no buffer of the pool for a few bytes', async () => {
    const pool = new BufferPool({ budgetBytes: 64 * KIB });
    const source = pooled(pool);
    const file = fileOf({ blob: BLOB, offset: 0, length: 64 * KIB });
    const first = await readFileRange(file, 0, 32 * KIB, source, signal);
    const second = await readFileRange(file, 254, 4, source, signal);
    expect(bytesOf(second)).toBe('feff0001');
    first.release();
    second.release();
  });

  it('passes on what is long, and gives it back when it is released', async () => {
    const pool = new BufferPool({ budgetBytes: 64 * KIB });
    const file = fileOf({ blob: BLOB, offset: 0, length: 64 * KIB });
    const lease = await readFileRange(file, 0, 64 * KIB, pooled(pool), signal);
    const next = readFileRange(file, 1, 64 * KIB - 1, pooled(pool), signal);
    lease.release();
    expect(
      Buffer.concat((await next).parts)
        .subarray(0, 3)
        .toString('hex'),
    ).toBe('010203');
  });

  it('gives at most 16 pieces', async () => {
    const pool = new BufferPool({ budgetBytes: 64 * KIB });
    const pieces = Array.from({ length: 40 }, (_, index) => ({ blob: BLOB, offset: 2 * index, length: 1 }));
    const lease = await readFileRange(fileOf(...pieces), 1, 39, pooled(pool), signal);
    expect(bytesOf(lease)).toBe('02040608' + '0a0c0e10' + '12141618' + '1a1c1e20');
  });

  it('fails as its source does, with nothing on loan', async () => {
    const pool = new BufferPool({ budgetBytes: 64 * KIB });
    const inner = pooled(pool);
    let reads = 0;
    const source: ByteSource = {
      ...inner,
      read: (...args) => {
        reads += 1;
        return reads === 2 ? Promise.reject(new Error('the disk is gone')) : inner.read(...args);
      },
    };
    await expect(readFileRange(scattered, 0, 19, source, signal)).rejects.toThrow('the disk is gone');
    (await readFileRange(scattered, 0, 19, inner, signal)).release();
  });
});
