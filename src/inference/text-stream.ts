/** What a decoder writes for bytes that are no UTF-8 (yet). */
const REPLACEMENT = '\ufffd';
/** Ids of the context that are kept: enough for the decoder to know that a text is going on. */
const CONTEXT_IDS = 6;

/**
 * Turns a growing list of token ids into text, piece by piece. A piece never ends in half a character: it is held back until
 * the tokens that complete it have come.
 *
 * Each piece is the difference of two decodings which begin at the same token, the one before the new ones; so a decoder
 * that drops leading spaces drops them from both.
 */
export class TextStream {
  readonly #decode: (ids: readonly number[]) => string;
  /** The ids from the last given-out token on; those before cannot change any more. */
  #ids: number[];
  /** How many of them have been given out. */
  #done: number;

  constructor(decode: (ids: readonly number[]) => string, context: readonly number[] = []) {
    this.#decode = decode;
    this.#ids = context.slice(-CONTEXT_IDS);
    this.#done = this.#ids.length;
  }

  /** Adds one token; returns the text that became certain, possibly none. */
  push(id: number): string {
    this.#ids.push(id);
    const text = this.#decode(this.#ids);
    if (text.endsWith(REPLACEMENT)) return '';
    const piece = text.slice(this.#before().length);
    // A token without text of its own (a special one) must not push the last real token out of the window.
    if (piece === '') return '';
    this.#ids = this.#ids.slice(this.#done);
    this.#done = this.#ids.length;
    return piece;
  }

  /** The rest at the end of the text, with replacement characters for bytes that never became a character. */
  end(): string {
    const piece = this.#decode(this.#ids).slice(this.#before().length);
    this.#done = this.#ids.length;
    return piece;
  }

  #before(): string {
    return this.#decode(this.#ids.slice(0, this.#done));
  }
}
