import { describe, expect, it } from 'vitest';
import { isCalyxError } from '../../src/core/errors.js';
import { BufferPool } from '../../src/storage/buffer-pool.js';
import type { ByteSource } from '../../src/storage/byte-source.js';
import { blobName, bytesOf, testBytes } from '../support/blobs.js';
import { expectError } from '../support/expect-error.js';

/** Makes the source under test, which has `blobs` and takes its buffers from `pool`. */
export type ByteSourceFactory = (
  blobs: ReadonlyMap<string, Uint8Array>,
  pool: BufferPool,
) => ByteSource | Promise<ByteSource>;

const BUDGET_BYTES = 2 * 1024 * 1024;
const SIZE = 300_007;
const CONTENTS = [
  testBytes(SIZE),
  testBytes(SIZE, 'second'),
  testBytes(70_001, 'third'),
  testBytes(1, 'one'),
];
const BLOBS = new Map(CONTENTS.map((bytes) => [blobName(bytes), bytes]));
const [BLOB = '', SECOND = ''] = BLOBS.keys();
const UNKNOWN = '0'.repeat(64);

/** What every ByteSource must do, whatever it reads from and whatever lies below it. */
export function byteSourceConformance(name: string, factory: ByteSourceFactory): void {
  const withSource = async (test: (source: ByteSource) => Promise<void>): Promise<void> => {
    const pool = new BufferPool({ budgetBytes: BUDGET_BYTES });
    const source = await factory(BLOBS, pool);
    try {
      await test(source);
      expect(pool.allocatedBytes).toBeLessThanOrEqual(BUDGET_BYTES);
      // The whole budget can be had at once only if nothing is on loan any more.
      const all = pool.take(BUDGET_BYTES);
      expect(all, 'a lease was not given back').not.toBeInstanceOf(Promise);
    } finally {
      await source.close();
    }
  };
  const expectExact = async (
    source: ByteSource,
    blob: string,
    offset: number,
    length: number,
  ): Promise<void> => {
    const lease = await source.read(blob, offset, length);
    const expected = BLOBS.get(blob)?.subarray(offset, offset + length);
    expect(expected?.equals(bytesOf(lease)), `${length} bytes at ${offset}`).toBe(true);
    expect(bytesOf(lease)).toHaveLength(length);
    lease.release();
  };

  describe(`${name} as a ByteSource`, () => {
    it('gives the exact bytes wherever they lie', () =>
      withSource(async (source) => {
        for (const blob of [BLOB, SECOND]) {
          for (const length of [1, 2, 31, 4096, 65_535, 65_536, 65_537, 131_072])
            for (const offset of [0, 1, 4095, 99_999, 100_000, 131_071, SIZE - length])
              await expectExact(source, blob, offset, length);
        }
      }));

    it('gives whole blobs', () =>
      withSource(async (source) => {
        for (const [blob, bytes] of BLOBS) await expectExact(source, blob, 0, bytes.byteLength);
      }));

    it('gives nothing where nothing is asked for', () =>
      withSource(async (source) => {
        await expectExact(source, BLOB, 0, 0);
        await expectExact(source, BLOB, SIZE, 0);
      }));

    it('says not-found for a blob that it does not have, and then goes on', () =>
      withSource(async (source) => {
        await expectError(() => source.read(UNKNOWN, 0, 1), 'not-found', UNKNOWN);
        await expectExact(source, BLOB, 0, 100);
      }));

    it('never answers a range beyond the end with short data', () =>
      withSource(async (source) => {
        for (const [offset, length] of [[0, SIZE + 1], [SIZE - 1, 2], [SIZE, 1], [SIZE + 1, 1], [10 * SIZE, 65_536]] as const) {
          const outcome = await Promise.resolve(source.read(BLOB, offset, length)).catch((error: unknown) => error);
          expect(isCalyxError(outcome), `${length} bytes at ${offset}: ${String(outcome)}`).toBe(true);
          expect(isCalyxError(outcome, 'not-found')).toBe(false);
        }
      })); // prettier-ignore

    it('refuses what is no range', () =>
      withSource(async (source) => {
        for (const [offset, length] of [[-1, 10], [0.5, 10], [Number.NaN, 1], [0, -1], [0, 1.5], [2 ** 53, 1], [2 ** 53 - 1, 1]] as const)
          await expectError(async () => source.read(BLOB, offset, length), 'usage', 'not a range');
      })); // prettier-ignore

    it('rejects with the reason of a signal that has fired before', () =>
      withSource(async (source) => {
        const reason = new Error('no longer wanted');
        const read = async () => source.read(BLOB, 0, 100, { signal: AbortSignal.abort(reason) });
        await expect(read()).rejects.toBe(reason);
      }));

    it('ends by the reason of a signal that fires meanwhile, or with exact bytes', () =>
      withSource(async (source) => {
        const reason = new Error('no longer wanted');
        for (let turns = 0; turns < 12; turns += 1) {
          const controller = new AbortController();
          const read = Promise.resolve(source.read(BLOB, 0, SIZE, { signal: controller.signal })).then(
            (lease) => {
              const exact = CONTENTS[0]?.equals(bytesOf(lease));
              lease.release();
              return exact;
            },
            (error: unknown) => error,
          );
          // At another point of the read each time.
          for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
          controller.abort(reason);
          expect([true, reason]).toContain(await read);
        }
      }));

    it('serves many readers at once, more than there are buffers for', () =>
      withSource(async (source) => {
        const reads = Array.from({ length: 96 }, (_, index) => {
          const [blob, bytes] = [...BLOBS][index % BLOBS.size] ?? [BLOB, Buffer.alloc(0)];
          const offset = Math.floor(((index * 7919) % 1000) * (bytes.byteLength / 1000));
          return expectExact(source, blob, offset, Math.min(bytes.byteLength - offset, 40_000 + index));
        });
        await Promise.all(reads);
      }));

    it('leaves lent bytes alone until they are given back', () =>
      withSource(async (source) => {
        const kept = await source.read(BLOB, 1000, 50_000);
        for (let index = 0; index < 40; index += 1) await expectExact(source, SECOND, index * 5000, 60_000);
        expect(CONTENTS[0]?.subarray(1000, 51_000).equals(bytesOf(kept))).toBe(true);
        kept.release();
      }));

    it('takes its memory back: it reads twenty times its budget', () =>
      withSource(async (source) => {
        for (let bytes = 0; bytes < 20 * BUDGET_BYTES; bytes += SIZE)
          await expectExact(source, SECOND, 0, SIZE);
      }));

    it('can be closed, even twice, and reads nothing after that', () =>
      withSource(async (source) => {
        await expectExact(source, BLOB, 0, 10);
        await source.close();
        await source.close();
        await expectError(async () => source.read(BLOB, 0, 10), 'unavailable');
      }));
  });
}
