import { abortReason } from '../core/clock.js';
import { CalyxError } from '../core/errors.js';
import type { Lease } from './byte-source.js';

/** Options of {@link BufferPool}. */
export interface BufferPoolOptions {
  /** Bytes of all buffers together, lent or idle. @default 67108864 (64 MiB) */
  readonly budgetBytes?: number;
}

const DEFAULTS = { budgetBytes: 64 * 1024 * 1024 } as const;

/** The smallest buffer; below it, sharing buffers saves nothing. */
const MIN_BUFFER_BYTES = 64 * 1024;

interface Waiter {
  readonly length: number;
  readonly grant: (lease: BufferLease) => void;
}

/** A lease of one buffer, to be filled by who took it. */
export interface BufferLease extends Lease {
  readonly buffer: Uint8Array;
}

/**
 * Buffers of a bounded total size, used again and again. Who finds it empty waits in turn. Sizes are rounded up to powers of
 * two (but not above the budget), so that buffers fit each other's use.
 */
export class BufferPool {
  /** Bytes that all buffers may have together. */
  readonly budgetBytes: number;
  readonly #idle = new Map<number, Uint8Array[]>();
  readonly #waiters: Waiter[] = [];
  #allocatedBytes = 0;

  constructor(options: BufferPoolOptions = {}) {
    this.budgetBytes = options.budgetBytes ?? DEFAULTS.budgetBytes;
  }

  /** Bytes of all buffers, lent or idle; never above the budget. */
  get allocatedBytes(): number {
    return this.#allocatedBytes;
  }

  /**
   * Takes a buffer of `length` bytes with arbitrary content.
   *
   * @throws CalyxError `internal` if `length` exceeds the whole budget; rejects with the signal's reason if it fires first
   */
  take(length: number, signal?: AbortSignal): BufferLease | Promise<BufferLease> {
    if (length > this.budgetBytes) {
      throw new CalyxError(
        'internal',
        `a read of ${length} bytes does not fit the buffer pool of ${this.budgetBytes}`,
      );
    }
    const lease = this.#waiters.length === 0 ? this.#tryTake(length) : undefined;
    return lease ?? this.#wait(length, signal);
  }

  #tryTake(length: number): BufferLease | undefined {
    const size = Math.min(bufferBytes(length), this.budgetBytes);
    let buffer = this.#idle.get(size)?.pop();
    if (buffer === undefined) {
      this.#dropIdle(this.#allocatedBytes + size - this.budgetBytes);
      if (this.#allocatedBytes + size > this.budgetBytes) return undefined;
      this.#allocatedBytes += size;
      buffer = Buffer.allocUnsafeSlow(size);
    }
    return this.#lend(buffer, length);
  }

  #lend(whole: Uint8Array, length: number): BufferLease {
    const buffer = whole.subarray(0, length);
    let lent = true;
    return {
      buffer,
      parts: [buffer],
      release: () => {
        if (!lent) return;
        lent = false;
        const idle = this.#idle.get(whole.byteLength) ?? [];
        idle.push(whole);
        this.#idle.set(whole.byteLength, idle);
        this.#serveWaiters();
      },
    };
  }

  #wait(length: number, signal: AbortSignal | undefined): Promise<BufferLease> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        if (signal !== undefined) reject(abortReason(signal));
        this.#serveWaiters();
      };
      const waiter: Waiter = {
        length,
        grant: (lease) => {
          signal?.removeEventListener('abort', onAbort);
          resolve(lease);
        },
      };
      if (signal?.aborted === true) {
        reject(abortReason(signal));
        return;
      }
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiters.push(waiter);
    });
  }

  #serveWaiters(): void {
    for (let first = this.#waiters[0]; first !== undefined; first = this.#waiters[0]) {
      const lease = this.#tryTake(first.length);
      if (lease === undefined) return;
      this.#waiters.shift();
      first.grant(lease);
    }
  }

  #dropIdle(bytes: number): void {
    let dropped = 0;
    for (const [size, buffers] of this.#idle) {
      while (dropped < bytes && buffers.pop() !== undefined) {
        dropped += size;
        this.#allocatedBytes -= size;
      }
    }
  }
}

/** What a buffer of `length` bytes takes of a pool's budget, unless that is smaller. */
export function bufferBytes(length: number): number {
  return Math.max(MIN_BUFFER_BYTES, 2 ** Math.ceil(Math.log2(Math.max(length, 1))));
}
