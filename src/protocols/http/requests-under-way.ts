import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Requests of one connection that wait for their answers; real clients send one at a time. */
const MAX_OUTSTANDING = 32;

/**
 * Counts the requests of each connection that are not answered yet. Node takes in as many of them as fit, though it answers one after the
 * other; who sends too many is cut off.
 */
export class RequestsUnderWay {
  readonly #counts = new WeakMap<Socket, number>();

  constructor(server: Server) {
    // Before whoever answers, who may want to know it.
    server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
      const count = this.of(socket) + 1;
      this.#counts.set(socket, count);
      response.once('close', () => this.#counts.set(socket, this.of(socket) - 1));
      if (count > MAX_OUTSTANDING) socket.destroy();
    });
  }

  /** How many there are of a connection. */
  of(socket: Socket): number {
    return this.#counts.get(socket) ?? 0;
  }
}
