const WAYS = 4;
const FIRST_BUCKETS = 256;

/**
 * Remembers which chunks went lately, by 32 bits of their digests: the ghost queue of S3-FIFO as a table of fingerprints with the
 * time of their insertion. A wrong answer, once in many thousands, only puts a chunk into the other queue.
 */
export class GhostList {
  #prints = new Uint32Array(FIRST_BUCKETS * WAYS);
  /** When each was added; 0 for never. */
  #times = new Uint32Array(FIRST_BUCKETS * WAYS);
  #now = 0;
  #limit = 0;

  /** Remembers a chunk, and forgets those before the last `limit`. */
  add(print: number, limit: number): void {
    this.#limit = limit;
    if (limit * 4 > this.#prints.length * 3) this.#grow();
    // Once in four thousand million evictions it begins anew.
    if (this.#now === 0xffff_ffff) {
      this.#times.fill(0);
      this.#now = 0;
    }
    this.#now += 1;
    this.#put(print, this.#now);
  }

  has(print: number): boolean {
    const first = this.#bucket(print);
    for (let at = first; at < first + WAYS; at += 1)
      if (this.#prints[at] === print && this.#isFresh(this.#times[at] ?? 0)) return true;
    return false;
  }

  #isFresh(time: number): boolean {
    return time > 0 && time > this.#now - this.#limit;
  }

  #bucket(print: number): number {
    return ((Math.imul(print, 0x9e3779b1) >>> 0) % this.#prints.length) & ~(WAYS - 1);
  }

  #put(print: number, time: number): void {
    const first = this.#bucket(print);
    let oldest = first;
    for (let at = first; at < first + WAYS; at += 1) {
      if (this.#prints[at] === print) oldest = at;
      if (this.#prints[at] === print) break;
      if ((this.#times[at] ?? 0) < (this.#times[oldest] ?? 0)) oldest = at;
    }
    this.#prints[oldest] = print;
    this.#times[oldest] = time;
  }

  #grow(): void {
    const [prints, times] = [this.#prints, this.#times];
    this.#prints = new Uint32Array(prints.length * 2);
    this.#times = new Uint32Array(prints.length * 2);
    for (const [at, print] of prints.entries()) {
      const time = times[at] ?? 0;
      if (this.#isFresh(time)) this.#put(print, time);
    }
  }
}
