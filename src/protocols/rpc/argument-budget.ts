/** Bytes of calls which all connections together may hold in memory. Who finds it full stops reading and is woken when it is not. */
export class ArgumentBudget {
  readonly #maxBytes: number;
  readonly #waiting = new Set<() => void>();
  #used = 0;
  #waking = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes that are taken. */
  get used(): number {
    return this.#used;
  }

  get full(): boolean {
    return this.#used >= this.#maxBytes;
  }

  /** Takes bytes, or gives back if negative. */
  count(bytes: number): void {
    this.#used += bytes;
    if (this.#waiting.size === 0 || this.full || this.#waking) return;
    this.#waking = true;
    // Later, as this may be called in the middle of another connection's work.
    setImmediate(() => {
      this.#waking = false;
      const waiting = [...this.#waiting];
      this.#waiting.clear();
      for (const wake of waiting) wake();
    });
  }

  /** Calls `wake` once when there is room again. */
  wait(wake: () => void): void {
    this.#waiting.add(wake);
  }

  forget(wake: () => void): void {
    this.#waiting.delete(wake);
  }
}
