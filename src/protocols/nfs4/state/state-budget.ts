/** Counts states of all clients against one limit, so that many clients together cannot fill the memory either. */
export class StateBudget {
  readonly #max: number;
  #used = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get used(): number {
    return this.#used;
  }

  /** Counts one more; false if there is no room. */
  take(): boolean {
    if (this.#used >= this.#max) return false;
    this.#used += 1;
    return true;
  }

  give(count = 1): void {
    this.#used -= count;
  }
}
