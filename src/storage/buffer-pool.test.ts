import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../test/support/expect-error.js';
import { nextTurn } from '../../test/support/scripted-source.js';
import { BufferPool, type BufferLease } from './buffer-pool.js';

const KIB = 1024;

/** Takes a buffer that must be there at once. */
function now(pool: BufferPool, length: number): BufferLease {
  const lease = pool.take(length);
  if (lease instanceof Promise) throw new Error(`${length} bytes should have been free`);
  return lease;
}

/** Asks for a buffer that must be waited for, and notes in `order` when it comes. */
function later(pool: BufferPool, length: number, order: string[], name: string, signal?: AbortSignal) {
  const lease = pool.take(length, signal);
  if (!(lease instanceof Promise)) throw new Error(`${name} should have had to wait`);
  return lease.then(
    (taken) => {
      order.push(name);
      return taken;
    },
    (error: unknown) => {
      order.push(`${name} failed`);
      return error as Error;
    },
  );
}

describe('BufferPool', () => {
  it('gives buffers of the length that was asked for, at once while there is room', () => {
    const pool = new BufferPool({ budgetBytes: 1024 * KIB });
    for (const length of [0, 1, 65_535, 65_536, 65_537, 200_000]) {
      const lease = now(pool, length);
      expect(lease.buffer.byteLength).toBe(length);
      expect(lease.parts).toEqual([lease.buffer]);
      lease.release();
    }
  });

  it('does not lend the same bytes twice', () => {
    const pool = new BufferPool({ budgetBytes: 512 * KIB });
    const leases = Array.from({ length: 8 }, () => now(pool, 64 * KIB));
    leases.forEach(({ buffer }, index) => buffer.fill(index));
    leases.forEach(({ buffer }, index) => expect(buffer.every((byte) => byte === index)).toBe(true));
  });

  it('uses a buffer again instead of allocating another one', () => {
    const pool = new BufferPool({ budgetBytes: 1024 * KIB });
    const first = now(pool, 100 * KIB);
    const { buffer } = first.buffer;
    first.release();
    expect(now(pool, 120 * KIB).buffer.buffer).toBe(buffer);
    expect(pool.allocatedBytes).toBe(128 * KIB);
  });

  it('gives up idle buffers of other sizes for one that is needed', () => {
    const pool = new BufferPool({ budgetBytes: 256 * KIB });
    const small = Array.from({ length: 4 }, () => now(pool, 64 * KIB));
    small.forEach((lease) => lease.release());
    const large = now(pool, 256 * KIB);
    expect(pool.allocatedBytes).toBe(256 * KIB);
    large.release();
    now(pool, 1);
    expect(pool.allocatedBytes).toBeLessThanOrEqual(256 * KIB);
  });

  it('can lend its whole budget in one piece, whatever that is', async () => {
    const pool = new BufferPool({ budgetBytes: 100_000 });
    const whole = now(pool, 100_000);
    expect(pool.allocatedBytes).toBe(100_000);
    whole.release();
    expect(now(pool, 70_000).buffer.byteLength).toBe(70_000);
    await expectError(() => pool.take(100_001), 'internal', '100001 bytes', '100000');
  });

  it('serves those who wait in their order, also where a later one would fit', async () => {
    const pool = new BufferPool({ budgetBytes: 256 * KIB });
    const held = [now(pool, 128 * KIB), now(pool, 64 * KIB)];
    const order: string[] = [];
    const waiting = [
      later(pool, 256 * KIB, order, 'large'),
      later(pool, 64 * KIB, order, 'small'),
      later(pool, 64 * KIB, order, 'last'),
    ];
    await nextTurn();
    expect(order).toEqual([]);
    held.forEach((lease) => lease.release());
    await nextTurn();
    expect(order).toEqual(['large']);
    ((await waiting[0]) as BufferLease).release();
    await nextTurn();
    expect(order).toEqual(['large', 'small', 'last']);
  });

  it('passes over one that gives up, with its reason, and serves those behind it', async () => {
    const pool = new BufferPool({ budgetBytes: 256 * KIB });
    const held = now(pool, 128 * KIB);
    const order: string[] = [];
    const controller = new AbortController();
    const large = later(pool, 256 * KIB, order, 'large', controller.signal);
    const small = later(pool, 64 * KIB, order, 'small');
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await large).toBe(reason);
    await small;
    expect(order.sort()).toEqual(['large failed', 'small']);
    // The abort of one that has been served already does nothing more.
    controller.abort();
    held.release();
    expect(now(pool, 128 * KIB).buffer.byteLength).toBe(128 * KIB);
  });

  it('rejects at once if the signal has fired before and it would have to wait', async () => {
    const pool = new BufferPool({ budgetBytes: 64 * KIB });
    const held = now(pool, 1);
    await expect(pool.take(1, AbortSignal.abort(new Error('before')))).rejects.toThrow('before');
    held.release();
    now(pool, 1);
  });

  it('takes a second release of the same lease for nothing', () => {
    const pool = new BufferPool({ budgetBytes: 128 * KIB });
    const lease = now(pool, 64 * KIB);
    lease.release();
    lease.release();
    const [one, two] = [now(pool, 64 * KIB), now(pool, 64 * KIB)];
    expect(one.buffer.buffer).not.toBe(two.buffer.buffer);
    lease.release();
    expect(pool.take(64 * KIB)).toBeInstanceOf(Promise);
  });

  it('never exceeds its budget, and serves everybody in the end, whatever is asked and given back', async () => {
    const step = fc.record({
      length: fc.integer({ min: 0, max: 500_000 }),
      release: fc.nat(9),
      abort: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const budgetBytes = 500_000;
        const pool = new BufferPool({ budgetBytes });
        const held: BufferLease[] = [];
        let lent = 0;
        const outcomes: Promise<void>[] = [];
        for (const { length, release, abort } of steps) {
          const controller = new AbortController();
          const hold = (lease: BufferLease): void => {
            lent += lease.buffer.byteLength;
            held.push(lease);
          };
          outcomes.push(Promise.resolve(pool.take(length, controller.signal)).then(hold, () => undefined));
          await Promise.resolve();
          if (abort) controller.abort();
          const [back] = held.splice(release, 1);
          if (back !== undefined) {
            lent -= back.buffer.byteLength;
            back.release();
          }
          await nextTurn();
          expect(pool.allocatedBytes).toBeLessThanOrEqual(budgetBytes);
          expect(lent).toBeLessThanOrEqual(pool.allocatedBytes);
        }
        let open = outcomes.length;
        for (const outcome of outcomes) void outcome.then(() => (open -= 1));
        for (let round = 0; round <= steps.length && open > 0; round += 1) {
          held.splice(0).forEach((lease) => lease.release());
          await nextTurn();
        }
        expect(open).toBe(0);
      }),
      { numRuns: 60 },
    );
  });
});
