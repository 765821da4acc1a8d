import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import { createServer, type Server, type TlsOptions, type TLSSocket } from 'node:tls';
import type { TlsSettings } from '../../core/access.js';
import { TLS_PROTOCOL } from './rpc-protocol.js';

/** Told how a handshake ends; one of them is called, once. */
interface Waiting {
  done(secured: TLSSocket): void;
  failed(error: Error | undefined): void;
}

/**
 * Begins TLS on connections that are open already (RFC 9289, section 5): version 1.3, the protocol `sunrpc`, without early data. Clients
 * are asked for a certificate, and let in without one: `authorized` of the socket says whether there was one and the CA issued it.
 * Who names other protocols only is refused; who names none is not, as Linux's tlshd does not.
 */
export class TlsDoor {
  readonly #settings: () => TlsSettings;
  readonly #server: Server;
  /** Handshakes under way, by the two ends of the connection. */
  readonly #waiting = new Map<string, Waiting>();
  #known: TlsSettings;

  constructor(settings: () => TlsSettings, handshakeTimeoutMs: number) {
    this.#settings = settings;
    this.#known = settings();
    // It listens nowhere: connections are handed to it, which is what its event is documented for.
    this.#server = createServer({
      ...contextOptions(this.#known),
      requestCert: true,
      rejectUnauthorized: false,
      ALPNProtocols: [TLS_PROTOCOL],
      handshakeTimeout: handshakeTimeoutMs,
    });
    this.#server.on('secureConnection', (secured) => {
      const waiting = this.#take(endsOf(secured));
      if (waiting === undefined) secured.destroy();
      else waiting.done(secured);
    });
    this.#server.on('tlsClientError', (error, secured) => {
      this.#take(endsOf(secured))?.failed(error);
      secured.destroy();
    });
  }

  /**
   * Makes the handshake on a connection from which nobody reads any more. A socket that fails is destroyed.
   *
   * @param done gets the socket in the moment in which it is ready, before anything is read from it
   */
  enter(
    socket: Socket,
    done: (secured: TLSSocket) => void,
    failed: (error: Error | undefined) => void,
  ): void {
    const settings = this.#settings();
    if (settings !== this.#known) {
      this.#server.setSecureContext(contextOptions(settings));
      this.#known = settings;
    }
    const ends = endsOf(socket);
    const waiting: Waiting = { done, failed };
    this.#waiting.set(ends, waiting);
    socket.once('close', () => {
      if (this.#waiting.get(ends) === waiting) this.#take(ends)?.failed(undefined);
    });
    this.#server.emit('connection', socket);
  }

  #take(ends: string): Waiting | undefined {
    const waiting = this.#waiting.get(ends);
    this.#waiting.delete(ends);
    return waiting;
  }
}

function contextOptions({ key, certificate, ca }: TlsSettings): TlsOptions {
  return {
    key,
    cert: certificate,
    ca,
    minVersion: 'TLSv1.3',
    // A session that is resumed would bring back a certificate that was verified long ago. OpenSSL sends tickets all the same, but
    // short ones that name a session which nobody keeps; kernels drop them.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
