import type { Socket } from 'node:net';

/** A reply on its way out. */
export interface Outgoing {
  /** The kernel took it, or never will: its buffers are free. Called exactly once. */
  gone(): void;
}

/** Writes replies to a socket in the order in which they are handed over, each of several buffers that are never joined. */
export class ReplySender {
  readonly #socket: Socket;
  readonly #transport: Socket;
  /** Handed to the socket; it calls back in the same order. */
  readonly #inFlight: Outgoing[] = [];
  #taken = 0;
  #closed = false;

  /** @param transport of TCP, if `socket` encrypts */
  constructor(socket: Socket, transport: Socket = socket) {
    this.#socket = socket;
    this.#transport = transport;
  }

  /** Replies that the kernel did not take yet. */
  get pending(): number {
    return this.#inFlight.length;
  }

  /** Changes whenever the kernel takes something, as long as replies are pending. */
  get progress(): string {
    // A TLS socket counts what waits to be encrypted or sent, in steps of many records; the kernel takes those bit by bit.
    const encrypted = this.#transport === this.#socket ? 0 : unsentBytes(this.#socket);
    return `${this.#taken} ${encrypted} ${unsentBytes(this.#transport)}`;
  }

  /** `buffers` are at least one. */
  send(buffers: readonly Uint8Array[], outgoing: Outgoing): void {
    if (this.#closed || !this.#socket.writable) {
      outgoing.gone();
      return;
    }
    this.#inFlight.push(outgoing);
    const last = buffers.length - 1;
    this.#socket.cork();
    for (let index = 0; index <= last; index += 1) {
      const buffer = buffers[index] as Uint8Array;
      if (index === last) this.#socket.write(buffer, this.#onTaken);
      else this.#socket.write(buffer);
    }
    this.#socket.uncork();
  }

  /** To be called when the socket is closed, and the kernel reads from no buffer any more. */
  close(): void {
    this.#closed = true;
    for (const outgoing of this.#inFlight.splice(0)) outgoing.gone();
  }

  /** One function for all replies rather than one for each. After an error nothing is certain until the socket is closed. */
  readonly #onTaken = (error?: Error | null): void => {
    if (error !== undefined && error !== null) return;
    if (this.#socket.destroyed) return;
    this.#taken += 1;
    this.#inFlight.shift()?.gone();
  };
}

/** Bytes of the write under way that the kernel did not take. Node counts them while it writes, but shows them on its handle alone. */
function unsentBytes(socket: Socket): number {
  const { _handle: handle } = socket as unknown as { _handle?: { writeQueueSize?: unknown } | null };
  return typeof handle?.writeQueueSize === 'number' ? handle.writeQueueSize : socket.writableLength;
}
