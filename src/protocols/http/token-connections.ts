import type { Socket } from 'node:net';

/** Which connections were used with which tokens; one that was used with several counts for each. */
export class TokenConnections {
  readonly #sockets = new Map<string, Set<Socket>>();
  readonly #cut: (socket: Socket) => void;

  /** @param cut ends a connection at once, so that not even what the kernel holds for a slow reader is sent */
  constructor(cut: (socket: Socket) => void) {
    this.#cut = cut;
  }

  /** A request with this token came in on this connection. */
  use(tokenId: string, socket: Socket): void {
    let sockets = this.#sockets.get(tokenId);
    if (sockets?.has(socket) === true) return;
    sockets ??= new Set();
    this.#sockets.set(tokenId, sockets.add(socket));
    if (socket.destroyed) this.#forget(tokenId, socket);
    else socket.once('close', () => this.#forget(tokenId, socket));
  }

  /**
   * Ends what is under way for a token: its connections are cut, in the middle of an answer too, which is then not taken for whole.
   */
  end(tokenId: string): void {
    for (const socket of [...(this.#sockets.get(tokenId) ?? [])]) this.#cut(socket);
    this.#sockets.delete(tokenId);
  }

  #forget(tokenId: string, socket: Socket): void {
    const sockets = this.#sockets.get(tokenId);
    sockets?.delete(socket);
    if (sockets?.size === 0) this.#sockets.delete(tokenId);
  }
}
