import { abortReason } from '../../core/clock.js';

/** A number that grows with each change, and those who wait for that. */
export class Version {
  readonly #waiting = new Set<() => void>();
  #now: number;

  constructor(now: number) {
    this.#now = now;
  }

  get now(): number {
    return this.#now;
  }

  /** Something has changed: wakes all who wait. The version is this one, or a higher one if it was as high before. */
  reach(version: number): void {
    this.#now = Math.max(this.#now + 1, version);
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
