import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { systemClock, type Clock } from '../../core/clock.js';
import { CalyxError, errorMessage, systemCode } from '../../core/errors.js';
import { plainAddress } from '../../core/network-address.js';
import { ArgumentBudget } from './argument-budget.js';
import { ConnectionWatch, type ClientWatch, type WatchedClient } from './connection-watch.js';
import { ReplyBudget } from './reply-budget.js';
import type { RpcPeer, RpcProgram } from './rpc-program.js';
import { ServerConnection } from './server-connection.js';
import type { ConnectionParts, ServerContext } from './server-context.js';
import { RPC_SERVER_LIMITS, type RpcServerOptions } from './server-options.js';
import { TlsDoor } from './tls-door.js';
import { TlsHandshake } from './tls-handshake.js';

/** Where to listen; port 0 takes a free one. */
export interface RpcAddress {
  readonly host: string;
  readonly port: number;
}

/** What clients take of a server at this moment. */
export interface RpcServerLoad {
  readonly connections: number;
  /** Calls whose replies are not sent yet. */
  readonly calls: number;
  /** Bytes of calls in memory, also of long ones that are not complete. */
  readonly callBytes: number;
  /** Bytes of replies in memory or promised. */
  readonly replyBytes: number;
}

/** An RPC server (RFC 5531) on TCP. */
export interface RpcServer {
  /**
   * @returns the address with the port that was chosen
   * @throws CalyxError `busy` if the port is taken, `usage` if the address cannot be used
   */
  listen(address: RpcAddress): Promise<RpcAddress>;
  /** Answers the calls under way for a moment, then closes all connections. */
  close(): Promise<void>;
  connections(): number;
  load(): RpcServerLoad;
  /** Closes the connections of these peers at once. */
  disconnect(which: (peer: RpcPeer) => boolean): void;
}

/** Middleboxes forget connections that say nothing, and machines lose power: the kernel asks after this time. */
const KEEP_ALIVE_MS = 60_000;

/**
 * Serves programs to all who connect.
 *
 * @example
 * const server = createRpcServer([nfs, mount], { admit: (peer) => allowed(peer.address) });
 * const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
 */
export function createRpcServer(programs: readonly RpcProgram[], options: RpcServerOptions = {}): RpcServer {
  return new TcpRpcServer(programs, options);
}

class TcpRpcServer implements RpcServer {
  readonly #options: RpcServerOptions;
  readonly #clock: Clock;
  readonly #context: ServerContext;
  readonly #server: Server;
  readonly #door: TlsDoor | undefined;
  readonly #watches = new Map<WatchedClient, ClientWatch>();
  readonly #closed = new AbortController();
  #closing: Promise<void> | undefined;
  #whenEmpty: (() => void) | undefined;

  constructor(programs: readonly RpcProgram[], options: RpcServerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const limits = { ...RPC_SERVER_LIMITS, ...options };
    this.#context = {
      programs: new Map(programs.map((program) => [program.program, program])),
      limits,
      replies: new ReplyBudget({
        totalBytes: limits.maxTotalReplyBytes,
        connectionBytes: limits.maxReplyBytes,
      }),
      callBytes: new ArgumentBudget(limits.maxTotalArgumentBytes),
      longRecordBytes: new ArgumentBudget(limits.maxTotalArgumentBytes),
      onError: (what, peer, error) => options.onError?.(what, peer, error),
      onEntry: (peer, allowed) => options.onEntry?.(peer, allowed),
      onReply: (connection, reply) => options.onReply?.(connection, reply),
      onClose: (connection) => this.#forget(connection),
      onStartTls: (connection, socket) => this.#startTls(connection, socket),
    };
    this.#door = options.tls === undefined ? undefined : new TlsDoor(options.tls, limits.handshakeTimeoutMs);
    this.#server = createServer(
      { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS },
      (socket) => this.#accept(socket),
    );
  }

  async listen(address: RpcAddress): Promise<RpcAddress> {
    await new Promise<void>((resolve, reject) => {
      const onError = (error: Error): void => reject(listenError(error, address));
      this.#server.once('error', onError);
      this.#server.listen(address.port, address.host, () => {
        this.#server.off('error', onError);
        resolve();
      });
    });
    this.#server.on('error', (error) => this.#options.onError?.('accepting a client', undefined, error));
    void this.#watch();
    const { address: host, port } = this.#server.address() as AddressInfo;
    return { host, port };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  connections(): number {
    return this.#watches.size;
  }

  load(): RpcServerLoad {
    let calls = 0;
    for (const client of this.#watches.keys()) calls += client.calls;
    const { callBytes, longRecordBytes, replies } = this.#context;
    return {
      connections: this.#watches.size,
      calls,
      callBytes: callBytes.used + longRecordBytes.used,
      replyBytes: replies.used,
    };
  }

  disconnect(which: (peer: RpcPeer) => boolean): void {
    for (const client of [...this.#watches.keys()]) {
      if (!which(client.peer)) continue;
      if (client instanceof ServerConnection) client.cut();
      else client.drop();
    }
  }

  async #close(): Promise<void> {
    this.#closed.abort();
    this.#server.close();
    if (this.#watches.size === 0) return;
    const empty = new Promise<void>((resolve) => (this.#whenEmpty = resolve));
    for (const client of [...this.#watches.keys()]) client.finish();
    const enough = new AbortController();
    await Promise.race([
      empty,
      this.#clock.sleep(this.#context.limits.closeTimeoutMs, enough.signal).catch(() => undefined),
    ]);
    enough.abort();
    for (const client of [...this.#watches.keys()]) client.drop();
    await empty;
  }

  #accept(socket: Socket): void {
    const peer = peerOf(socket);
    if (peer === undefined || this.#closed.signal.aborted || !this.#makeRoom()) {
      socket.on('error', () => undefined);
      socket.destroy();
      return;
    }
    this.#connect({ socket, peer, offersTls: this.#door !== undefined });
  }

  #connect(parts: Omit<ConnectionParts, 'admitted' | 'secured'>): void {
    const { admit, requireTls = false } = this.#options;
    const { peer } = parts;
    const admitted = admit === undefined || admit(peer);
    const secured = !requireTls || peer.security === 'tls';
    const connection = new ServerConnection({ ...parts, admitted, secured }, this.#context);
    this.#watches.set(connection, new ConnectionWatch(connection, this.#context.limits, this.#clock.now()));
  }

  /** The place of a connection goes to the handshake, and from there to the connection within TLS. */
  #startTls(connection: ServerConnection, transport: Socket): void {
    this.#watches.delete(connection);
    const { peer } = connection;
    const handshake = new TlsHandshake(transport, peer);
    this.#watches.set(handshake, handshake);
    if (this.#door === undefined || this.#closed.signal.aborted) {
      transport.once('close', () => this.#forget(handshake));
      handshake.drop();
      return;
    }
    handshake.begin(this.#door, {
      done: (socket, secured) => {
        const hasPlace = this.#watches.has(handshake) && !this.#closed.signal.aborted;
        if (hasPlace) this.#connect({ socket, transport, peer: secured, offersTls: false });
        else socket.destroy();
        this.#forget(handshake);
      },
      failed: (reason) => {
        this.#forget(handshake);
        if (reason !== undefined) this.#context.onError('client dropped', peer, reason);
      },
    });
  }

  /** If all places are taken, gives up the connection that is longest idle, first strangers and those on which nothing ever came. */
  #makeRoom(): boolean {
    if (this.#watches.size < this.#context.limits.maxConnections) return true;
    let victim: ClientWatch | undefined;
    for (const watch of this.#watches.values()) {
      if (watch.client.calls > 0) continue;
      // The map has them in the order in which they came, so the first of equals is the oldest.
      if (victim === undefined || (watch.lastReadAt ?? -Infinity) < (victim.lastReadAt ?? -Infinity))
        victim = watch;
    }
    if (victim === undefined) return false;
    victim.client.drop();
    this.#forget(victim.client);
    return true;
  }

  #forget(client: WatchedClient): void {
    this.#watches.delete(client);
    if (this.#watches.size === 0) this.#whenEmpty?.();
  }

  async #watch(): Promise<void> {
    const { signal } = this.#closed;
    try {
      while (!signal.aborted) {
        await this.#clock.sleep(this.#context.limits.checkMs, signal);
        const now = this.#clock.now();
        const crowded = this.#context.replies.exhausted;
        for (const watch of this.#watches.values()) watch.check(now, crowded);
      }
    } catch (error) {
      if (!signal.aborted) this.#options.onError?.('looking for idle clients', undefined, error);
    }
  }
}

function peerOf(socket: Socket): RpcPeer | undefined {
  const { remoteAddress, remotePort } = socket;
  if (remoteAddress === undefined || remotePort === undefined) return undefined;
  return { address: plainAddress(remoteAddress), port: remotePort, security: 'none' };
}

function listenError(error: Error, { host, port }: RpcAddress): CalyxError {
  if (systemCode(error) === 'EADDRINUSE')
    return new CalyxError('busy', `the port ${port} of ${host} is in use`, {
      hint: 'choose another, or stop the server that has it (2049 is often a kernel NFS server)',
      cause: error,
    });
  return new CalyxError('usage', `cannot listen on ${host}:${port}: ${errorMessage(error)}`, {
    hint: 'give an address of this machine; a port below 1024 needs root',
    cause: error,
  });
}
