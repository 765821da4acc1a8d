import { abortReason } from '../../core/clock.js';
import { RangeConnection, type RangeAnswer, type RangeServer } from './range-connection.js';
import type { ServerTrust } from './server-trust.js';

/** Options of {@link RangeClient}. */
export interface RangeClientOptions {
  /** How the server is known, and what it is told about who asks. */
  readonly trust?: ServerTrust;
  /** Longest wait for the connection, an answer, or its next byte. */
  readonly stallMs: number;
  /** Connections at the same time; further requests wait for one. */
  readonly connections: number;
}

/** Sends range requests to one server over a bounded number of connections that stay open. */
export class RangeClient {
  readonly #server: RangeServer;
  /** The fields of a head that all requests have. */
  readonly #fields: string;
  readonly #options: RangeClientOptions;
  readonly #all = new Set<RangeConnection>();
  readonly #idle: RangeConnection[] = [];
  readonly #waiters: (() => void)[] = [];
  #closed = false;

  constructor(url: URL, options: RangeClientOptions) {
    const { hostname, host, port, protocol } = url;
    const { tls, authorization } = options.trust ?? {};
    this.#server = {
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port === '' ? (protocol === 'https:' ? 443 : 80) : port),
      tls,
    };
    this.#fields = `host: ${host}\r\n${authorization === undefined ? '' : `authorization: ${authorization}\r\n`}`;
    this.#options = options;
  }

  /**
   * Asks for `target.byteLength` bytes from `offset` of what is at `path`, and receives them into `target`. Rejects with the
   * error of the connection, or with the signal's reason; nothing is written to `target` after that.
   */
  async get(path: string, offset: number, target: Uint8Array, signal?: AbortSignal): Promise<RangeAnswer> {
    const connection = await this.#connection(signal);
    const onAbort = (): void => {
      if (signal !== undefined) connection.destroy(abortReason(signal));
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await connection.exchange(
        `GET ${path} HTTP/1.1\r\n${this.#fields}range: bytes=${offset}-${offset + target.byteLength - 1}\r\n\r\n`,
        target,
      );
    } finally {
      signal?.removeEventListener('abort', onAbort);
      if (!connection.ended) this.#idle.push(connection);
      this.#waiters.shift()?.();
    }
  }

  /** Ends all connections; requests under way fail. */
  close(): void {
    this.#closed = true;
    for (const connection of this.#all) connection.destroy(new Error('it was closed'));
    for (const wake of this.#waiters.splice(0)) wake();
  }

  async #connection(signal: AbortSignal | undefined): Promise<RangeConnection> {
    for (;;) {
      signal?.throwIfAborted();
      if (this.#closed) throw new Error('it was closed');
      const idle = this.#idle.pop();
      if (idle !== undefined) return idle;
      if (this.#all.size < this.#options.connections) {
        const connection = new RangeConnection(this.#server, this.#options.stallMs, (ended) =>
          this.#forget(ended),
        );
        this.#all.add(connection);
        return connection;
      }
      await this.#turn(signal);
    }
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      const leave = (): void => {
        this.#waiters.splice(this.#waiters.indexOf(wake), 1);
        resolve();
      };
      signal?.addEventListener('abort', leave, { once: true });
      this.#waiters.push(wake);
    });
  }

  #forget(connection: RangeConnection): void {
    this.#all.delete(connection);
    const index = this.#idle.indexOf(connection);
    if (index >= 0) this.#idle.splice(index, 1);
  }
}
