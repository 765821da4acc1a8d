import { systemClock, type Clock } from '../../core/clock.js';
import type { Digest } from '../../core/digest.js';
import { CalyxError, errorMessage, isCalyxError } from '../../core/errors.js';
import type { ByteSource, Lease, ReadOptions } from '../byte-source.js';

/** Options of {@link FailoverLayer}. */
export interface FailoverOptions {
  /** For how long a source that failed is asked last. @default 10000 */
  readonly coolDownMs?: number;
  /** Called whenever a source failed and the next one is asked. */
  readonly onFailure?: (source: ByteSource, error: unknown) => void;
  readonly clock?: Clock;
}

const DEFAULTS = { coolDownMs: 10_000 } as const;

/** Asks the sources one after the other, in their order; one that failed lately comes last. */
export class FailoverLayer implements ByteSource {
  readonly name: string;
  readonly #sources: readonly ByteSource[];
  readonly #failedAt = new Map<ByteSource, number>();
  readonly #coolDownMs: number;
  readonly #onFailure: (source: ByteSource, error: unknown) => void;
  readonly #clock: Clock;

  /** @param sources at least one */
  constructor(sources: readonly ByteSource[], options: FailoverOptions = {}) {
    this.#sources = sources;
    this.name = sources.map((source) => source.name).join(', ');
    this.#coolDownMs = options.coolDownMs ?? DEFAULTS.coolDownMs;
    this.#onFailure = options.onFailure ?? (() => undefined);
    this.#clock = options.clock ?? systemClock;
  }

  async read(blob: Digest, offset: number, length: number, options?: ReadOptions): Promise<Lease> {
    const failures: unknown[] = [];
    for (const source of this.#inOrder()) {
      try {
        const lease = await source.read(blob, offset, length, options);
        this.#failedAt.delete(source);
        return lease;
      } catch (error) {
        options?.signal?.throwIfAborted();
        failures.push(error);
        // Not having a blob is no fault of the source.
        if (!isCalyxError(error, 'not-found')) this.#failedAt.set(source, this.#clock.now());
        this.#onFailure(source, error);
      }
    }
    throw combine(failures);
  }

  async close(): Promise<void> {
    await Promise.all(this.#sources.map((source) => source.close()));
  }

  #inOrder(): ByteSource[] {
    const now = this.#clock.now();
    const failedLately = (source: ByteSource): boolean => {
      const at = this.#failedAt.get(source);
      return at !== undefined && now - at < this.#coolDownMs;
    };
    return [...this.#sources.filter((s) => !failedLately(s)), ...this.#sources.filter(failedLately)];
  }
}

/**
 * One error for all: that of the only source, or one that lists them. What may pass counts most, so that a retry waits for that
 * source; and any failure counts more than 'not found'.
 */
function combine(failures: readonly unknown[]): unknown {
  if (failures.length === 1) return failures[0];
  const worst =
    failures.find((error) => isCalyxError(error, 'unavailable', 'timeout', 'limited')) ??
    failures.find((error) => !isCalyxError(error, 'not-found')) ??
    failures[0];
  const code = isCalyxError(worst) ? worst.code : 'unavailable';
  const hint = isCalyxError(worst) ? worst.hint : undefined;
  return new CalyxError(code, `no source could answer: ${failures.map(errorMessage).join('; ')}`, {
    ...(hint === undefined ? {} : { hint }),
    cause: worst,
  });
}
