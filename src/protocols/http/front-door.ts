import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { hasRole, type Grant } from '../../core/access.js';
import { systemClock } from '../../core/clock.js';
import { plainAddress } from '../../core/network-address.js';
import { HandshakePace } from './handshake-pace.js';
import { HolderPlaces, type HolderConnection } from './holder-places.js';
import { StrangerPlaces, type Stranger, type StrangerPlacesOptions } from './stranger-places.js';
import { HANDSHAKE_MS } from './tls-settings.js';

/** Options of {@link FrontDoor}. */
export interface FrontDoorOptions {
  /** The server speaks TLS. */
  readonly tls: boolean;
  /** Open connections that have shown a token. */
  readonly maxConnections: number;
  /** True while no request of a connection is being answered. */
  readonly isIdle: (socket: Socket) => boolean;
  readonly strangers?: StrangerPlacesOptions | undefined;
  /** When TLS begins. @default HandshakePace with its own defaults */
  readonly pace?: Pick<HandshakePace, 'enter'>;
}

/** A connection that has come in. */
interface Arrival {
  readonly stranger: Stranger;
  /** The socket of TCP, which may be under one of TLS. */
  readonly transport: Socket;
}

/** The first byte of a TLS record with a ClientHello (RFC 8446, section 5.1). */
const TLS_HANDSHAKE_RECORD = 22;

/** Whoever is told that this is HTTPS has so long to read it. */
const LAST_WORDS_MS = 1_000;

const NOT_TLS_BODY = JSON.stringify({
  error: {
    code: 'usage',
    message: 'this is HTTPS, and the request came as plain HTTP: nothing was answered',
    hint: 'use https:// with the same address',
  },
});
const NOT_TLS = [
  'HTTP/1.1 400 Bad Request',
  'content-type: application/json; charset=utf-8',
  `content-length: ${Buffer.byteLength(NOT_TLS_BODY)}`,
  'connection: close',
  '',
  NOT_TLS_BODY,
].join('\r\n');

/**
 * Stands between a listening server and whoever connects. Until a connection has shown a token, it has a place among the strangers
 * and may lose it (see {@link StrangerPlaces}); afterwards no stranger can take its place. TLS begins when the first bytes are there, so that
 * those who send none cost little.
 */
export class FrontDoor {
  readonly #places: StrangerPlaces;
  /** By both ends of the connection, until TLS is there; of connections that follow each other with the same ends, the youngest. */
  readonly #arrivals = new Map<string, Arrival>();
  /** By the socket on which requests come, which is that of TLS if there is TLS. */
  readonly #bySocket = new WeakMap<Socket, Arrival>();
  readonly #known = new WeakMap<Socket, HolderConnection>();
  readonly #holders: HolderPlaces;
  readonly #isIdle: (socket: Socket) => boolean;
  readonly #pace: Pick<HandshakePace, 'enter'>;

  constructor(server: Server, options: FrontDoorOptions) {
    this.#places = new StrangerPlaces(options.strangers);
    this.#holders = new HolderPlaces(options.maxConnections);
    this.#isIdle = options.isIdle;
    this.#pace = options.pace ?? new HandshakePace();
    const serve = server.listeners('connection') as ((socket: Socket) => void)[];
    server.removeAllListeners('connection');
    const pass = (socket: Socket): void => {
      for (const listener of serve) listener.call(server, socket);
    };
    server.on('connection', (socket: Socket) => this.#receive(socket, options.tls, pass));
    server.on('secureConnection', (socket: TLSSocket) => {
      const arrival = this.#arrivals.get(connectionKey(socket));
      if (arrival === undefined) return;
      arrival.stranger.stage = 'asking';
      this.#bySocket.set(socket, arrival);
    });
  }

  /**
   * A request on this connection has shown a token, or a certificate, with this grant: no stranger can displace it any more, and another
   * holder only if all places are taken (see {@link HolderPlaces}).
   *
   * @throws CalyxError `busy` if there is no place for it
   */
  recognize(socket: Socket, grant: Grant): void {
    if (socket.destroyed) return;
    const known = this.#known.get(socket);
    if (known !== undefined) {
      this.#holders.used(known);
      return;
    }
    const connection: HolderConnection = {
      isIdle: () => this.#isIdle(socket),
      drop: () => this.cut(socket),
    };
    const manages = hasRole(grant, 'admin') && grant.models === '*';
    this.#holders.enter(connection, { tokenId: grant.tokenId ?? '', manages });
    this.#known.set(socket, connection);
    socket.once('close', () => this.#holders.leave(connection));
    const arrival = this.#bySocket.get(socket);
    if (arrival !== undefined) this.#places.leave(arrival.stranger);
  }

  /** True if a request on this connection has shown a token before. */
  knows(socket: Socket): boolean {
    return this.#known.has(socket);
  }

  /** Ends a connection as {@link cutConnection} does, also under TLS. */
  cut(socket: Socket): void {
    const arrival = this.#bySocket.get(socket);
    if (arrival !== undefined) cutConnection(arrival.transport);
    socket.destroy();
  }

  /** Drops all strangers. */
  close(): void {
    this.#places.clear();
  }

  #receive(socket: Socket, tls: boolean, pass: (socket: Socket) => void): void {
    const key = connectionKey(socket);
    const stranger: Stranger = {
      address: plainAddress(socket.remoteAddress),
      since: systemClock.now(),
      stage: tls ? 'silent' : 'asking',
      drop: () => socket.destroy(),
    };
    const arrival: Arrival = { stranger, transport: socket };
    this.#arrivals.set(key, arrival);
    this.#bySocket.set(socket, arrival);
    socket.on('error', () => undefined);
    socket.once('close', () => {
      // A client may have come again from the same port before this one was seen to leave.
      if (this.#arrivals.get(key) === arrival) this.#arrivals.delete(key);
      this.#places.leave(stranger);
    });
    this.#places.enter(stranger);
    if (!tls) {
      pass(socket);
      return;
    }
    // Not as the sockets' own timeouts do, which begin anew with each byte.
    const late = setTimeout(() => {
      if (stranger.stage !== 'asking') socket.destroy();
    }, HANDSHAKE_MS);
    socket.once('close', () => clearTimeout(late));
    socket.once('end', () => socket.destroy());
    const begin = (): void => {
      const first = socket.read(1) as Buffer | null;
      if (first === null) return;
      socket.off('readable', begin);
      if (first[0] !== TLS_HANDSHAKE_RECORD) {
        tellNotTls(socket);
        return;
      }
      socket.unshift(first);
      stranger.stage = 'handshake';
      socket.once(
        'close',
        this.#pace.enter(stranger.address, () => pass(socket)),
      );
    };
    socket.on('readable', begin);
  }
}

/**
 * Resets a connection of TCP: what the kernel still holds for a reader that takes its time, megabytes, is not sent any more, which after
 * a mere close it would be.
 */
export function cutConnection(socket: Socket): void {
  if (!socket.destroyed) socket.resetAndDestroy();
}

function tellNotTls(socket: Socket): void {
  // What is still coming in must be taken, or the kernel would reset the connection over our answer.
  socket.resume().end(NOT_TLS);
  setTimeout(() => socket.destroy(), LAST_WORDS_MS).unref();
}

/** Both ends of a connection: the same for a TCP socket and the TLS socket over it. */
function connectionKey({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
