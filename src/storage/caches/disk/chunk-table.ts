import { randomInt } from 'node:crypto';
import { DIGEST_BYTES, type Digest } from '../../../core/digest.js';

/** No slot. */
export const NONE = -1;

const WORDS = DIGEST_BYTES / 4;
const FIRST_CAPACITY = 1024;
/** Memory is for slots that are used: one that is full grows by half. */
const GROWTH = 1.5;
/** The hash table is never fuller than this, so a search takes a few steps. */
const MAX_LOAD = 0.7;

const LIVE = 1;
const VERIFIED = 2;
const USES_SHIFT = 2;
/** A chunk's uses are counted up to this, as in S3-FIFO. */
const MAX_USES = 3;

/** Slots of one segment in the order in which they were added. */
export interface Chain {
  first: number;
  last: number;
}

/**
 * Which chunks are on the disk and where: 50 bytes for each and 6 to 12 for the hash table, in a few arrays, because there may be
 * hundreds of thousands. Chunks have numbers, their slots.
 */
export class ChunkTable {
  #capacity = FIRST_CAPACITY;
  #digests = new Uint32Array(FIRST_CAPACITY * WORDS);
  #segments = new Uint32Array(FIRST_CAPACITY);
  #offsets = new Uint32Array(FIRST_CAPACITY);
  #lengths = new Uint32Array(FIRST_CAPACITY);
  /** The next slot of the segment, or of those that are free. */
  #next = new Int32Array(FIRST_CAPACITY);
  #marks = new Uint8Array(FIRST_CAPACITY);
  #times = new Uint8Array(FIRST_CAPACITY);
  /** Slots plus one by their hash; linear probing. */
  #buckets = new Uint32Array(2048);
  #used = 0;
  #free = NONE;
  #size = 0;
  #bytes = 0;
  // Who chooses the content of chunks cannot choose where they come to lie.
  readonly #seed = randomInt(2 ** 32);
  #lastDigest: Digest = '';
  /** Its slot, until anything is removed. */
  #lastFound = NONE;
  readonly #wanted = new Uint32Array(WORDS);
  readonly #wantedBytes = Buffer.from(this.#wanted.buffer);

  /** Chunks that can be found. */
  get size(): number {
    return this.#size;
  }

  /** Their bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Memory that the table takes. */
  get memoryBytes(): number {
    return this.#capacity * (DIGEST_BYTES + 18) + this.#buckets.byteLength;
  }

  /** The slot of a chunk, or {@link NONE}. */
  find(digest: Digest): number {
    // Who reads a chunk piece by piece asks for it again and again.
    if (this.#lastFound !== NONE && digest === this.#lastDigest) return this.#lastFound;
    this.#wantedBytes.write(digest, 'hex');
    this.#lastDigest = digest;
    this.#lastFound = this.#find();
    return this.#lastFound;
  }

  /** A number by which a chunk is recognised that is not in the table any more. */
  fingerprint(digest: Digest): number {
    this.#wantedBytes.write(digest, 'hex');
    return this.#wanted[WORDS - 1] ?? 0;
  }

  fingerprintOf(slot: number): number {
    return this.#digests[slot * WORDS + WORDS - 1] ?? 0;
  }

  segment(slot: number): number {
    return this.#segments[slot] ?? 0;
  }

  offset(slot: number): number {
    return this.#offsets[slot] ?? 0;
  }

  length(slot: number): number {
    return this.#lengths[slot] ?? 0;
  }

  next(slot: number): number {
    return this.#next[slot] ?? NONE;
  }

  isLive(slot: number): boolean {
    return ((this.#marks[slot] ?? 0) & LIVE) !== 0;
  }

  /** True if the bytes on the disk have been compared with their digest by this process. */
  isVerified(slot: number): boolean {
    return ((this.#marks[slot] ?? 0) & VERIFIED) !== 0;
  }

  setVerified(slot: number): void {
    this.#marks[slot] = (this.#marks[slot] ?? 0) | VERIFIED;
  }

  uses(slot: number): number {
    return (this.#marks[slot] ?? 0) >>> USES_SHIFT;
  }

  /**
   * Counts a use at `time` (a number below 256 that goes round), unless it is so close to the one that was counted last that both
   * belong to the same reading of the chunk, piece by piece.
   */
  touch(slot: number, time: number): void {
    if (((time - (this.#times[slot] ?? 0)) & 0xff) < 2) return;
    this.#times[slot] = time;
    const uses = this.uses(slot);
    if (uses < MAX_USES) this.#marks[slot] = (this.#marks[slot] ?? 0) + (1 << USES_SHIFT);
  }

  /** The digest of a chunk; the bytes change with the table. */
  digestBytes(slot: number): Uint8Array {
    return new Uint8Array(this.#digests.buffer, slot * DIGEST_BYTES, DIGEST_BYTES);
  }

  /**
   * Adds a chunk at the end of a segment's chain. One that is known at another place is forgotten there.
   *
   * @param digest 32 bytes, which are copied
   */
  add(
    chain: Chain,
    digest: Uint8Array,
    segment: number,
    offset: number,
    length: number,
    time: number,
  ): number {
    this.#wantedBytes.set(digest);
    const known = this.#find();
    if (known !== NONE) this.remove(known);
    const slot = this.#takeSlot();
    this.#digests.set(this.#wanted, slot * WORDS);
    this.#segments[slot] = segment;
    this.#offsets[slot] = offset;
    this.#lengths[slot] = length;
    this.#marks[slot] = LIVE;
    this.#times[slot] = time;
    this.#next[slot] = NONE;
    if (chain.last === NONE) chain.first = slot;
    else this.#next[chain.last] = slot;
    chain.last = slot;
    this.#size += 1;
    this.#bytes += length;
    if (this.#size > this.#buckets.length * MAX_LOAD) this.#rehash(this.#buckets.length * 2);
    else this.#link(slot);
    return slot;
  }

  /** Takes the verification and a number of uses over from where a chunk was before. */
  mark(slot: number, verified: boolean, uses: number): void {
    this.#marks[slot] = LIVE | (verified ? VERIFIED : 0) | (uses << USES_SHIFT);
  }

  /** From now on the chunk is not found; its slot stays in its segment's chain. */
  remove(slot: number): void {
    if (!this.isLive(slot)) return;
    this.#lastFound = NONE;
    this.#marks[slot] = 0;
    this.#size -= 1;
    this.#bytes -= this.length(slot);
    this.#unlink(slot);
  }

  /** Frees all slots of a chain, of which none is live any more. */
  release(chain: Chain): void {
    if (chain.last !== NONE) {
      this.#next[chain.last] = this.#free;
      this.#free = chain.first;
    }
    chain.first = NONE;
    chain.last = NONE;
  }

  #find(): number {
    const [digests, wanted, mask] = [this.#digests, this.#wanted, this.#buckets.length - 1];
    for (let bucket = this.#hash(wanted, 0) & mask; ; bucket = (bucket + 1) & mask) {
      const slot = (this.#buckets[bucket] ?? 0) - 1;
      if (slot === NONE) return NONE;
      let word = 0;
      while (word < WORDS && digests[slot * WORDS + word] === wanted[word]) word += 1;
      if (word === WORDS) return slot;
    }
  }

  #hash(words: Uint32Array, at: number): number {
    const mixed =
      Math.imul((words[at] ?? 0) ^ this.#seed, 0x9e3779b1) ^ Math.imul(words[at + 1] ?? 0, 0x85ebca6b);
    return Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d) >>> 0;
  }

  #link(slot: number): void {
    const mask = this.#buckets.length - 1;
    let bucket = this.#hash(this.#digests, slot * WORDS) & mask;
    while (this.#buckets[bucket] !== 0) bucket = (bucket + 1) & mask;
    this.#buckets[bucket] = slot + 1;
  }

  /** Closes the gap by moving up what would not be found across it. */
  #unlink(slot: number): void {
    const buckets = this.#buckets;
    const mask = buckets.length - 1;
    let gap = this.#hash(this.#digests, slot * WORDS) & mask;
    while (buckets[gap] !== slot + 1) gap = (gap + 1) & mask;
    for (let bucket = (gap + 1) & mask; ; bucket = (bucket + 1) & mask) {
      const other = (buckets[bucket] ?? 0) - 1;
      if (other === NONE) break;
      const home = this.#hash(this.#digests, other * WORDS) & mask;
      if (((bucket - home) & mask) < ((bucket - gap) & mask)) continue;
      buckets[gap] = other + 1;
      gap = bucket;
    }
    buckets[gap] = 0;
  }

  #rehash(size: number): void {
    this.#buckets = new Uint32Array(size);
    for (let slot = 0; slot < this.#used; slot += 1) if (this.isLive(slot)) this.#link(slot);
  }

  #takeSlot(): number {
    const slot = this.#free;
    if (slot !== NONE) {
      this.#free = this.next(slot);
      return slot;
    }
    if (this.#used === this.#capacity) this.#grow(Math.ceil(this.#capacity * GROWTH));
    return this.#used++;
  }

  #grow(capacity: number): void {
    const grown = <T extends Uint32Array | Int32Array | Uint8Array>(to: T, from: T): T => {
      to.set(from);
      return to;
    };
    this.#digests = grown(new Uint32Array(capacity * WORDS), this.#digests);
    this.#segments = grown(new Uint32Array(capacity), this.#segments);
    this.#offsets = grown(new Uint32Array(capacity), this.#offsets);
    this.#lengths = grown(new Uint32Array(capacity), this.#lengths);
    this.#next = grown(new Int32Array(capacity), this.#next);
    this.#marks = grown(new Uint8Array(capacity), this.#marks);
    this.#times = grown(new Uint8Array(capacity), this.#times);
    this.#capacity = capacity;
  }
}
