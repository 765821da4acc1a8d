import { systemClock, type Clock } from '../../core/clock.js';
import type { Digest } from '../../core/digest.js';
import { isCalyxError } from '../../core/errors.js';
import type { ByteSource, Lease, ReadOptions } from '../byte-source.js';

/** What passed through a {@link MeterLayer}. */
export interface Meter {
  reads: number;
  /** Bytes of the reads that succeeded. */
  bytes: number;
  errors: number;
  /** Errors with the code `corrupt` among them. */
  corrupt: number;
  /** Seconds that reads took, added up. */
  seconds: number;
}

/** Counts what it passes on, and changes nothing. */
export class MeterLayer implements ByteSource {
  readonly name: string;
  readonly meter: Meter = { reads: 0, bytes: 0, errors: 0, corrupt: 0, seconds: 0 };
  readonly #inner: ByteSource;
  readonly #clock: Clock;

  constructor(inner: ByteSource, clock: Clock = systemClock) {
    this.name = inner.name;
    this.#inner = inner;
    this.#clock = clock;
  }

  async read(blob: Digest, offset: number, length: number, options?: ReadOptions): Promise<Lease> {
    const start = this.#clock.now();
    this.meter.reads += 1;
    try {
      const lease = await this.#inner.read(blob, offset, length, options);
      this.meter.bytes += length;
      return lease;
    } catch (error) {
      this.meter.errors += 1;
      if (isCalyxError(error, 'corrupt')) this.meter.corrupt += 1;
      throw error;
    } finally {
      this.meter.seconds += (this.#clock.now() - start) / 1000;
    }
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
