import type { Socket } from 'node:net';
import type { ArgumentBudget } from './argument-budget.js';
import type { ReplyBudget } from './reply-budget.js';
import type { RpcConnection, RpcPeer, RpcProgram } from './rpc-program.js';
import type { ServerConnection } from './server-connection.js';
import type { RpcServerLimits } from './server-options.js';

/** What all connections of a server share. */
export interface ServerContext {
  readonly programs: ReadonlyMap<number, RpcProgram>;
  readonly limits: RpcServerLimits;
  readonly replies: ReplyBudget;
  readonly callBytes: ArgumentBudget;
  /** Of long records that are not complete; apart, so that who never completes one does not hold up the others. */
  readonly longRecordBytes: ArgumentBudget;
  onError(what: string, peer: RpcPeer, error: unknown): void;
  onReply(connection: RpcConnection, reply: Uint8Array): void;
  onEntry(peer: RpcPeer, allowed: boolean): void;
  /** The connection is closed. */
  onClose(connection: ServerConnection): void;
  /** The client was told to begin TLS. The connection is over, its socket is not, and nobody reads from it. */
  onStartTls(connection: ServerConnection, socket: Socket): void;
}

/** What a connection is made of. */
export interface ConnectionParts {
  readonly socket: Socket;
  /** The socket of TCP, if the other one encrypts. @default socket */
  readonly transport?: Socket;
  readonly peer: RpcPeer;
  readonly admitted: boolean;
  /** As protected as the server requires it. */
  readonly secured: boolean;
  readonly offersTls: boolean;
}
