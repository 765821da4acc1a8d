import { CalyxError } from '../../core/errors.js';

interface Waiter {
  readonly bytes: number;
  resolve(): void;
  reject(error: Error): void;
}

/**
 * Bytes of replies that may be in memory at once, on each connection and on all. Who finds no room waits: the calls of one connection
 * in their order, connections in turn, and nobody is overtaken by one that asks for less. More than the whole budget is
 * given to who is alone, so that every reply can be made.
 */
export class ReplyBudget {
  readonly #totalBytes: number;
  readonly #connectionBytes: number;
  #used = 0;
  /** Shares with waiters, in the order in which they are served. */
  #turns: ReplyShare[] = [];
  /** True if the next in turn waits for others to give back. */
  #exhausted = false;

  constructor(limits: { readonly totalBytes: number; readonly connectionBytes: number }) {
    this.#totalBytes = limits.totalBytes;
    this.#connectionBytes = limits.connectionBytes;
  }

  /** Bytes that are taken. */
  get used(): number {
    return this.#used;
  }

  /** Whether somebody waits for room that others have. */
  get exhausted(): boolean {
    return this.#exhausted;
  }

  /** What one connection takes of the budget. */
  share(): ReplyShare {
    return new ReplyShare(this);
  }

  /** Takes bytes, at once or in turn; see {@link ReplyShare.take}. */
  take(share: ReplyShare, bytes: number): undefined | Promise<void> {
    if (
      !this.#exhausted &&
      share.waiters.length === 0 &&
      this.#fitsShare(share, bytes) &&
      this.#fits(bytes)
    ) {
      this.count(share, bytes);
      return undefined;
    }
    return new Promise((resolve, reject) => {
      share.waiters.push({ bytes, resolve, reject });
      if (share.waiters.length === 1) this.#turns.push(share);
      this.#serve();
    });
  }

  /** Takes bytes, or gives back if negative, without asking. */
  count(share: ReplyShare, bytes: number): void {
    this.#used += bytes;
    share.used += bytes;
    if (bytes < 0) this.#serve();
  }

  /** Lets all waiters of a share fail. */
  dismiss(share: ReplyShare, reason: Error): void {
    this.#turns = this.#turns.filter((other) => other !== share);
    for (const waiter of share.waiters.splice(0)) waiter.reject(reason);
    this.#serve();
  }

  #serve(): void {
    this.#exhausted = false;
    for (let turn = 0; turn < this.#turns.length;) {
      const share = this.#turns[turn];
      const waiter = share?.waiters[0];
      if (share === undefined || waiter === undefined) return;
      if (!this.#fitsShare(share, waiter.bytes)) {
        // It waits for replies of its own and keeps its place.
        turn += 1;
      } else if (!this.#fits(waiter.bytes)) {
        this.#exhausted = true;
        return;
      } else {
        share.waiters.shift();
        this.#turns.splice(turn, 1);
        if (share.waiters.length > 0) this.#turns.push(share);
        this.count(share, waiter.bytes);
        waiter.resolve();
        turn = 0;
      }
    }
  }

  #fits(bytes: number): boolean {
    return this.#used === 0 || this.#used + bytes <= this.#totalBytes;
  }

  #fitsShare(share: ReplyShare, bytes: number): boolean {
    // No connection takes more than it leaves to the others, so that a few which hardly read cannot take everything.
    const most = Math.min(this.#connectionBytes, this.#totalBytes - this.#used);
    return share.used === 0 || share.used + bytes <= most;
  }
}

/** The part of one connection in a {@link ReplyBudget}. */
export class ReplyShare {
  readonly #budget: ReplyBudget;
  /** Bytes that are taken; kept by the budget, as are the waiters. */
  used = 0;
  readonly waiters: Waiter[] = [];

  constructor(budget: ReplyBudget) {
    this.#budget = budget;
  }

  /** Takes bytes; undefined if there was room at once. Rejects when the connection is gone. */
  take(bytes: number): undefined | Promise<void> {
    return this.#budget.take(this, bytes);
  }

  /** Takes bytes, or gives back if negative, without asking. */
  count(bytes: number): void {
    if (bytes !== 0) this.#budget.count(this, bytes);
  }

  /** Nobody waits here any more. */
  close(): void {
    if (this.waiters.length > 0)
      this.#budget.dismiss(this, new CalyxError('aborted', 'the client that waited for the reply is gone'));
  }
}
