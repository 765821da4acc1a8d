import { array, uint32, type Codec } from '../../xdr/codec.js';

/** A set of numbers as words of 32 bits, the lowest first (bitmap4 of RFC 8881, section 3.2). */
export type Bitmap = readonly number[];

/** Today's attributes fill three words; a set that is longer names nothing that exists. */
const MAX_WORDS = 8;
const WORD_BITS = 32;

export const bitmap: Codec<Bitmap> = array(uint32, MAX_WORDS);

/** The set of `numbers`, without zero words at its end. */
export function bitmapOf(numbers: Iterable<number>): Bitmap {
  const words: number[] = [];
  for (const number of numbers) {
    const word = Math.floor(number / WORD_BITS);
    while (words.length <= word) words.push(0);
    words[word] = ((words[word] ?? 0) | (1 << (number % WORD_BITS))) >>> 0;
  }
  return words;
}

/** Whether `number` is in the set. */
export function includes(words: Bitmap, number: number): boolean {
  return (((words[Math.floor(number / WORD_BITS)] ?? 0) >>> (number % WORD_BITS)) & 1) === 1;
}

/** Whether all of `words` is in `others`. */
export function isSubset(words: Bitmap, others: Bitmap): boolean {
  return words.every((word, index) => (word & ~(others[index] ?? 0)) === 0);
}
