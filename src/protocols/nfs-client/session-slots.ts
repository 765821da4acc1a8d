/** A slot that a request takes, with the sequence number for it. */
export interface TakenSlot {
  readonly slot: number;
  readonly sequence: number;
}

/** The slots of a session (RFC 8881, section 2.10.6.1): each carries one request at a time, numbered one after the other. */
export class SessionSlots {
  readonly #sequences: number[];
  readonly #free: number[];
  readonly #waiting: ((slot: number) => void)[] = [];

  constructor(count: number) {
    this.#sequences = Array.from({ length: count }, () => 0);
    this.#free = this.#sequences.map((_, index) => count - 1 - index);
  }

  /** Index of the highest slot. */
  get highest(): number {
    return this.#sequences.length - 1;
  }

  /** Runs `request` in a free slot, when there is one. */
  async use<T>(request: (slot: TakenSlot) => Promise<T>): Promise<T> {
    const slot = this.#free.pop() ?? (await new Promise<number>((resolve) => this.#waiting.push(resolve)));
    const sequence = (this.#sequences[slot] ?? 0) + 1;
    this.#sequences[slot] = sequence;
    try {
      return await request({ slot, sequence });
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free.push(slot);
      else next(slot);
    }
  }
}
