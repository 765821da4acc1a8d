/**
 * Counts states of all clients against one limit, so that many clients together cannot fill the memory
 * either.
 */
export class StateBudget {
  readonly #max: number;
  readonly #makeRoom: () => boolean;
  #used = 0;

  /** `makeRoom` is asked when none is left: it gives back some, or returns false. */
  constructor(max: number, makeRoom: () => boolean = () => false) {
    this.#max = max;
    this.#makeRoom = makeRoom;
  }

  get used(): number {
    return this.#used;
  }

  /** Counts one more; false if there is no room. */
  take(): boolean {
    while (this.#used >= this.#max) if (!this.#makeRoom()) return false;
    this.#used += 1;
    return true;
  }

  give(count = 1): void {
    this.#used -= count;
  }
}
