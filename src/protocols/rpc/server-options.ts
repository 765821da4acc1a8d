import type { TlsSettings } from '../../core/access.js';
import type { Clock } from '../../core/clock.js';
import type { RpcConnection, RpcPeer } from './rpc-program.js';

const KIB = 1024;
const MIB = 1024 * KIB;

/** Bounds of what clients can take of a server. */
export interface RpcServerLimits {
  /** The longest record, that is one call. @default 1 MiB + 64 KiB: the largest WRITE of NFS clients and what stands around it */
  readonly maxRecordBytes: number;
  /** When so many are open, the one longest idle makes room for another. @default 1024 */
  readonly maxConnections: number;
  /** Calls of one connection that are not answered yet; more are not read. @default 128 */
  readonly maxCalls: number;
  /** Bytes of such calls, per connection. @default 2 MiB */
  readonly maxArgumentBytes: number;
  /** Bytes of such calls of all connections; as much again for long calls that are not complete. @default 64 MiB */
  readonly maxTotalArgumentBytes: number;
  /** Bytes of replies that the kernel did not take yet, per connection. @default 16 MiB */
  readonly maxReplyBytes: number;
  /** Bytes of such replies of all connections. @default 64 MiB */
  readonly maxTotalReplyBytes: number;
  /** A record that has begun must go on within this time. @default 30_000 */
  readonly recordTimeoutMs: number;
  /** A client that takes nothing of its replies for so long is dropped. @default 30_000 */
  readonly writeTimeoutMs: number;
  /** The same while others wait for the room that its replies take. @default 4_000 */
  readonly crowdedTimeoutMs: number;
  /** A client that asks nothing for so long is dropped. @default 1_200_000; Linux leaves by itself after 300_000 */
  readonly idleTimeoutMs: number;
  /** How often clients that take longer are looked for. @default 5_000 */
  readonly checkMs: number;
  /** A TLS handshake must be done within this time. @default 10_000 */
  readonly handshakeTimeoutMs: number;
  /** When the server closes, calls under way have so long to be answered. @default 1_000 */
  readonly closeTimeoutMs: number;
}

export const RPC_SERVER_LIMITS: RpcServerLimits = {
  maxRecordBytes: MIB + 64 * KIB,
  maxConnections: 1024,
  maxCalls: 128,
  maxArgumentBytes: 2 * MIB,
  maxTotalArgumentBytes: 64 * MIB,
  maxReplyBytes: 16 * MIB,
  maxTotalReplyBytes: 64 * MIB,
  recordTimeoutMs: 30_000,
  writeTimeoutMs: 30_000,
  crowdedTimeoutMs: 4_000,
  idleTimeoutMs: 20 * 60_000,
  checkMs: 5_000,
  handshakeTimeoutMs: 10_000,
  closeTimeoutMs: 1_000,
};

/** Options of `createRpcServer`. */
export interface RpcServerOptions extends Partial<RpcServerLimits> {
  /**
   * Asked once for each connection, and again when TLS has begun on it. Who is not admitted gets an answer to NULL and AUTH_TOOWEAK to everything else, so that a mount
   * fails at once and says that access is denied. @default everybody is admitted
   */
  readonly admit?: (peer: RpcPeer) => boolean;
  /**
   * Offers RPC-with-TLS (RFC 9289): TLS 1.3 on the same port, after a probe. Asked for each handshake; what is the same object as before
   * is not read again. @default not offered
   */
  readonly tls?: () => TlsSettings;
  /**
   * Answers nothing but NULL and the probe without TLS, as to those who are not admitted; programs may say that they are not
   * meant. @default false
   */
  readonly requireTls?: boolean;
  /** Told of each client once when it first asks for more than NULL, and once when it is first turned away. @default nobody */
  readonly onEntry?: (peer: RpcPeer, allowed: boolean) => void;
  /** Told of what went wrong: which procedure failed, why a client was dropped. `peer` is undefined if it is not about one. */
  readonly onError?: (what: string, peer: RpcPeer | undefined, error: unknown) => void;
  /** Gets whole replies to calls that were made over a client's connection (RFC 8881, section 2.10.3.1). @default they are ignored */
  readonly onReply?: (connection: RpcConnection, reply: Uint8Array) => void;
  /** @default systemClock */
  readonly clock?: Clock;
}
