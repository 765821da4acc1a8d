import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { CalyxError } from '../../core/errors.js';
import type { ClientWatch, WatchedClient } from './connection-watch.js';
import type { RpcPeer } from './rpc-program.js';
import type { TlsDoor } from './tls-door.js';

/** Told how a handshake ends; exactly one of them is called, once. */
export interface HandshakeEnds {
  done(secured: TLSSocket, peer: RpcPeer): void;
  failed(reason: CalyxError | undefined): void;
}

/** A client between the answer to its probe and its first call within TLS. The door keeps the time. */
export class TlsHandshake implements WatchedClient, ClientWatch {
  readonly peer: RpcPeer;
  readonly calls = 0;
  readonly lastReadAt = undefined;
  readonly #socket: Socket;

  constructor(socket: Socket, peer: RpcPeer) {
    this.#socket = socket;
    this.peer = peer;
  }

  get client(): this {
    return this;
  }

  begin(door: TlsDoor, ends: HandshakeEnds): void {
    door.enter(
      this.#socket,
      (secured) => ends.done(secured, securedPeer(this.peer, secured)),
      (error) => ends.failed(error === undefined ? undefined : handshakeError(error)),
    );
  }

  drop(): void {
    this.#socket.destroy();
  }

  finish(): void {
    this.#socket.destroy();
  }

  check(): void {
    // Nothing to look for: the handshake has its own deadline.
  }
}

function securedPeer({ address, port }: RpcPeer, secured: TLSSocket): RpcPeer {
  const certificate = secured.authorized ? secured.getPeerX509Certificate()?.raw : undefined;
  return { address, port, security: 'tls', ...(certificate === undefined ? {} : { certificate }) };
}

function handshakeError(error: Error): CalyxError {
  return new CalyxError('refused', `its TLS handshake failed: ${error.message}`, { cause: error });
}
