import { randomInt } from 'node:crypto';
import { abortReason } from '../../core/clock.js';

/** A number that is another after each change, and those who wait for that. */
export class Version {
  readonly #waiting = new Set<() => void>();
  /** Begins anywhere, so that nobody takes the version of another start for one of this. */
  #now = randomInt(2 ** 47);

  get now(): number {
    return this.#now;
  }

  /** Something has changed: wakes all who wait. */
  next(): void {
    this.#now += 1;
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /** Waits until the version is another. Rejects with the signal's reason. */
  changed(version: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(abortReason(signal));
        return;
      }
      if (version !== this.#now) {
        resolve();
        return;
      }
      const onAbort = (): void => {
        this.#waiting.delete(wake);
        reject(abortReason(signal));
      };
      const wake = (): void => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}
