/** Keeps what was used last, up to a total weight; at least the last one. */
export class Recent<K, V> {
  readonly #entries = new Map<K, { readonly value: V; readonly weight: number }>();
  readonly #capacity: number;
  readonly #onEvicted: ((value: V) => void) | undefined;
  #weight = 0;

  /**
   * @param capacity what the weights of all that is kept may add up to
   * @param onEvicted is given each value that had to make room, after it is gone
   */
  constructor(capacity: number, onEvicted?: (value: V) => void) {
    this.#capacity = capacity;
    this.#onEvicted = onEvicted;
  }

  /** The value of `key`, if it is kept; it counts as used. */
  get(key: K): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.value;
  }

  set(key: K, value: V, weight = 1): void {
    this.delete(key);
    this.#entries.set(key, { value, weight });
    this.#weight += weight;
    for (const [oldest, entry] of this.#entries) {
      if (this.#weight <= this.#capacity || oldest === key) break;
      this.delete(oldest);
      this.#onEvicted?.(entry.value);
    }
  }

  delete(key: K): void {
    this.#weight -= this.#entries.get(key)?.weight ?? 0;
    this.#entries.delete(key);
  }

  deleteWhere(matches: (key: K) => boolean): void {
    for (const key of [...this.#entries.keys()]) if (matches(key)) this.delete(key);
  }

  /** All that is kept, the one used last at the end. */
  *values(): IterableIterator<V> {
    for (const { value } of this.#entries.values()) yield value;
  }

  clear(): void {
    this.#entries.clear();
    this.#weight = 0;
  }
}
