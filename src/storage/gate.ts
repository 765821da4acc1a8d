import { abortReason } from '../core/clock.js';

interface Waiter {
  readonly amount: number;
  readonly grant: () => void;
}

/** Lets users in, in turn, while what they ask for adds up to no more than a capacity. Who asks for more than all of it is let in alone. */
export class Gate {
  readonly #capacity: number;
  readonly #waiters: Waiter[] = [];
  #inside = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Lets in at once, or answers undefined. What it answers must be called once to leave. */
  tryEnter(amount: number): (() => void) | undefined {
    const wanted = Math.min(amount, this.#capacity);
    if (this.#waiters.length > 0 || this.#inside + wanted > this.#capacity) return undefined;
    this.#inside += wanted;
    return this.#leave(wanted);
  }

  /** Resolves with what must be called once to leave; rejects with the signal's reason. */
  async enter(amount: number, signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    const entered = this.tryEnter(amount);
    if (entered !== undefined) return entered;
    const wanted = Math.min(amount, this.#capacity);
    await this.#wait(wanted, signal);
    return this.#leave(wanted);
  }

  #leave(amount: number): () => void {
    return () => {
      this.#inside -= amount;
      this.#admit();
    };
  }

  #wait(amount: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        if (signal !== undefined) reject(abortReason(signal));
        this.#admit();
      };
      const waiter: Waiter = {
        amount,
        grant: () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiters.push(waiter);
    });
  }

  #admit(): void {
    for (let first = this.#waiters[0]; first !== undefined; first = this.#waiters[0]) {
      if (this.#inside + first.amount > this.#capacity) return;
      this.#waiters.shift();
      this.#inside += first.amount;
      first.grant();
    }
  }
}
