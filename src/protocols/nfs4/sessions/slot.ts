import { NFS4, Nfs4Error } from '../status.js';
import type { ReplyCache, ReplyHolder } from './reply-cache.js';

/**
 * A slot of a session: one request at a time, numbered in order, with the reply to the last one for a client
 * that did not get it (RFC 8881, section 2.10.6.1).
 */
export class Slot implements ReplyHolder {
  reply: Uint8Array | undefined;
  readonly #cache: ReplyCache;
  /** Of the last request that was taken. */
  #sequence = 0;
  #digest = 0;
  #used = false;
  #busy = false;
  #gone = false;

  constructor(cache: ReplyCache) {
    this.#cache = cache;
  }

  /**
   * Takes the next request, or finds the reply to the last one.
   *
   * @param digest of all that tells the request from others
   * @returns the reply if the request was answered before
   * @throws Nfs4Error `SEQ_MISORDERED`, `DELAY` while the request is being answered, `SEQ_FALSE_RETRY`,
   * `RETRY_UNCACHED_REP`
   */
  begin(sequence: number, digest: number): Uint8Array | undefined {
    if (sequence === (this.#sequence + 1) >>> 0 && !this.#busy) {
      this.#cache.forget(this);
      this.#sequence = sequence;
      this.#digest = digest;
      this.#used = true;
      this.#busy = true;
      return undefined;
    }
    if (sequence !== this.#sequence || !this.#used) throw new Nfs4Error(NFS4.SEQ_MISORDERED);
    if (this.#busy) throw new Nfs4Error(NFS4.DELAY);
    if (digest !== this.#digest) throw new Nfs4Error(NFS4.SEQ_FALSE_RETRY);
    if (this.reply === undefined) throw new Nfs4Error(NFS4.RETRY_UNCACHED_REP);
    return this.reply;
  }

  /** The request is answered; `reply` is what to keep, if anything. */
  end(reply: Uint8Array | undefined): void {
    this.#busy = false;
    if (reply !== undefined && !this.#gone) this.#cache.keep(this, reply);
  }

  /** As if the request had never come. */
  undo(): void {
    this.#busy = false;
    this.#sequence = (this.#sequence - 1) >>> 0;
    // What the request before was is forgotten by now: a retry of that would not come after its successor.
    this.#used = false;
  }

  /** The session is gone: forgets the reply, and keeps that of a request under way no more. */
  clear(): void {
    this.#gone = true;
    this.#cache.forget(this);
  }
}
