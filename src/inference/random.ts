/** A source of numbers, uniform in [0, 1). */
export type Random = () => number;

const MASK = (1n << 64n) - 1n;

/**
 * SplitMix64: the same seed gives the same numbers on every machine. Each number is the upper 53 bits of one output, divided
 * by 2^53.
 *
 * @param seed an integer; taken modulo 2^64
 * Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014
 */
export function seededRandom(seed: number | bigint): Random {
  let state = BigInt(seed) & MASK;
  return () => {
    state = (state + 0x9e3779b97f4a7c15n) & MASK;
    let z = state;
    z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
    z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & MASK;
    z ^= z >> 31n;
    return Number(z >> 11n) / 2 ** 53;
  };
}
