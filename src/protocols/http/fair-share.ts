const KIB = 1024;

/** Bytes of the pieces of all answers together while there are few of them. */
const PIECES_BYTES = 8 * KIB * KIB;
/** Larger pieces do not make an answer faster. */
const MAX_PIECE_BYTES = KIB * KIB;
/** Smaller ones cost more than they weigh. */
const MIN_PIECE_BYTES = 64 * KIB;
/** With no more answers than this, two pieces of each are on their way while a third is read. */
const FEW = 16;
/** With more answers than this, none is read ahead. */
const MANY = 128;

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

  /** Pieces of one answer in memory: one is read while others are on their way to the kernel. */
  get piecesInFlight(): number {
    if (this.#answers <= FEW) return 3;
    return this.#answers <= MANY ? 2 : 1;
  }
}
