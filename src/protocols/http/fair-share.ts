const KIB = 1024;

/** Bytes of the pieces of all answers together while there are few of them. */
const PIECES_BYTES = 8 * KIB * KIB;
/** Larger pieces do not make an answer faster. */
const MAX_PIECE_BYTES = KIB * KIB;
/** Smaller ones cost more than they weigh. */
const MIN_PIECE_BYTES = 64 * KIB;
/** With more answers than this, none has a second piece on its way while the first is written. */
const CROWD = 128;

/**
 * How much memory each answer may hold. The more there are, the less each new piece has, so that clients which stop reading
 * cannot use up the buffers of the others: 1024 that come one after the other and take nothing hold less than 128 MiB.
 */
export class FairShare {
  #answers = 0;

  /** Runs `send` while it counts as one more answer. */
  async during<T>(send: () => Promise<T>): Promise<T> {
    this.#answers += 1;
    try {
      return await send();
    } finally {
      this.#answers -= 1;
    }
  }

  /** Bytes of the next piece of an answer, a power of two. */
  get pieceBytes(): number {
    const share = 2 ** Math.floor(Math.log2(PIECES_BYTES / Math.max(this.#answers, 1)));
    return Math.min(Math.max(share, MIN_PIECE_BYTES), MAX_PIECE_BYTES);
  }

  /** Pieces of one answer in memory: one is read while another is on its way to the kernel. */
  get piecesInFlight(): number {
    return this.#answers > CROWD ? 1 : 2;
  }
}
