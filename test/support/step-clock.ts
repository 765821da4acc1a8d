import { abortReason, type Clock } from '../../src/core/clock.js';

/** A clock that stands still, and with it all who sleep, until it is moved. For what sleeps again and again in the background. */
export class StepClock implements Clock {
  #now = 1_000_000;
  #sleepers: { readonly at: number; wake(): void }[] = [];

  now(): number {
    return this.#now;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(abortReason(signal));
        return;
      }
      const sleeper = { at: this.#now + ms, wake: resolve };
      this.#sleepers.push(sleeper);
      signal?.addEventListener('abort', () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        reject(abortReason(signal));
      });
    });
  }

  /** Moves on, and returns when those who woke up had a turn of the event loop. */
  async advance(ms: number): Promise<void> {
    this.#now += ms;
    const awake = this.#sleepers.filter(({ at }) => at <= this.#now);
    this.#sleepers = this.#sleepers.filter(({ at }) => at > this.#now);
    for (const { wake } of awake) wake();
    await new Promise((resolve) => setImmediate(resolve));
  }
}
