import { abortReason, type Clock } from '../../src/core/clock.js';

/** A clock that stands still until it is moved, or until somebody sleeps: then it jumps to the end of the sleep. */
export class ManualClock implements Clock {
  /** Every pause that was asked for, in milliseconds. */
  readonly pauses: number[] = [];
  #now = 1_000_000;

  now(): number {
    return this.#now;
  }

  advance(ms: number): void {
    this.#now += ms;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(abortReason(signal));
    this.pauses.push(ms);
    this.#now += ms;
    return Promise.resolve();
  }
}
