/** Where a reply is kept for a client that did not get it. */
export interface ReplyHolder {
  reply: Uint8Array | undefined;
}

/**
 * The replies that all sessions keep, within a budget. Clients of ours use a few kilobytes each; should many
 * hostile ones use all, then the oldest reply goes, and whoever asks for it again hears that it was not kept.
 */
export class ReplyCache {
  readonly #budgetBytes: number;
  readonly #holders = new Set<ReplyHolder>();
  #bytes = 0;

  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes;
  }

  /** Bytes of all replies that are kept. */
  get bytes(): number {
    return this.#bytes;
  }

  keep(holder: ReplyHolder, reply: Uint8Array): void {
    this.forget(holder);
    holder.reply = reply;
    this.#holders.add(holder);
    this.#bytes += reply.byteLength;
    for (const oldest of this.#holders) {
      if (this.#bytes <= this.#budgetBytes) break;
      this.forget(oldest);
    }
  }

  forget(holder: ReplyHolder): void {
    if (holder.reply === undefined) return;
    this.#bytes -= holder.reply.byteLength;
    holder.reply = undefined;
    this.#holders.delete(holder);
  }
}
