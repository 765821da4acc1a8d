import { CalyxError } from '../../core/errors.js';
import type { RpcPeer } from './rpc-program.js';
import type { ServerConnection } from './server-connection.js';
import type { RpcServerLimits } from './server-options.js';

/** What a server knows of a client: a connection, or a handshake that may become one. */
export interface WatchedClient {
  readonly peer: RpcPeer;
  /** Calls whose replies are not sent yet. */
  readonly calls: number;
  /** Closes at once; what is reported is why, unless there is nothing wrong. */
  drop(reason?: CalyxError): void;
  /** Closes when the calls under way are answered. */
  finish(): void;
}

/** Keeps time for a client. */
export interface ClientWatch {
  readonly client: WatchedClient;
  /** When an admitted client was last seen to send something, in milliseconds of the clock; undefined if none did. */
  readonly lastReadAt: number | undefined;
  /**
   * Drops the client if it did nothing for too long.
   *
   * @param crowded other clients wait for room that replies take: a few machines which lost power must not hold them up for long
   */
  check(now: number, crowded: boolean): void;
}

/**
 * Looks now and then at what a connection did since the last look, so that keeping time costs calls nothing. A limit is
 * found to be exceeded at the first look after it.
 */
export class ConnectionWatch implements ClientWatch {
  readonly client: ServerConnection;
  readonly #limits: RpcServerLimits;
  #bytesRead = 0;
  #readAt: number;
  #written: string | undefined;
  #writtenAt: number;

  constructor(connection: ServerConnection, limits: RpcServerLimits, now: number) {
    this.client = connection;
    this.#limits = limits;
    this.#readAt = now;
    this.#writtenAt = now;
  }

  get lastReadAt(): number | undefined {
    return this.client.admitted && this.client.bytesRead > 0 ? this.#readAt : undefined;
  }

  check(now: number, crowded: boolean): void {
    const { client: connection } = this;
    const { recordTimeoutMs, crowdedTimeoutMs, idleTimeoutMs } = this.#limits;
    const writeTimeoutMs = crowded
      ? Math.min(crowdedTimeoutMs, this.#limits.writeTimeoutMs)
      : this.#limits.writeTimeoutMs;
    if (connection.bytesRead !== this.#bytesRead || connection.paused) this.#readAt = now;
    this.#bytesRead = connection.bytesRead;
    const written = connection.writeProgress;
    if (written === undefined || written !== this.#written) this.#writtenAt = now;
    this.#written = written;

    const silentMs = now - this.#readAt;
    if (now - this.#writtenAt >= writeTimeoutMs)
      connection.drop(
        new CalyxError('timeout', `it took nothing of its replies for ${writeTimeoutMs / 1000} s`),
      );
    else if (connection.midRecord && silentMs >= recordTimeoutMs)
      connection.drop(
        new CalyxError('timeout', `it sent a part of a call and nothing for ${recordTimeoutMs / 1000} s`),
      );
    else if (connection.calls === 0 && silentMs >= idleTimeoutMs) connection.drop();
  }
}
