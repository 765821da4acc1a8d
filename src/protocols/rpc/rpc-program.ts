import { CalyxError } from '../../core/errors.js';
import type { Codec } from '../xdr/codec.js';
import { XdrError } from '../xdr/xdr-error.js';
import type { XdrReader } from '../xdr/xdr-reader.js';
import type { XdrWriter } from '../xdr/xdr-writer.js';

/** Who is at the other end of a connection. */
export interface RpcPeer {
  /** IP address; an IPv4 address that came in through IPv6 is written as IPv4. */
  readonly address: string;
  readonly port: number;
  /** How the connection is protected: not at all, or by TLS (RFC 9289). */
  readonly security: 'none' | 'tls';
  /** DER; only if TLS has proven that the CA of the server issued it, that it is for clients and not over, and that the peer has its key. */
  readonly certificate?: Uint8Array;
}

/** Whom a caller says it acts for (RFC 5531, section 8.2). Nobody has checked it. */
export type RpcCredential =
  | { readonly flavor: 'none' }
  | {
      readonly flavor: 'sys';
      readonly machine: string;
      readonly uid: number;
      readonly gid: number;
      readonly gids: readonly number[];
    };

/** One TCP connection; programs that keep state for connections use it as a key. */
export interface RpcConnection {
  readonly peer: RpcPeer;
  /** Fires when the connection is gone. */
  readonly signal: AbortSignal;
}

/** What a procedure knows of the call that it answers. */
export interface RpcCall {
  readonly connection: RpcConnection;
  readonly credential: RpcCredential;
  /** Transaction id of the caller. */
  readonly xid: number;
  /** Bytes of the arguments. */
  readonly argumentBytes: number;
  /** Fires when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  /**
   * Room for `bytes` of the reply among all that are in flight, on this connection and on all together. It becomes free when the
   * reply is sent. Whoever puts payload into a reply asks first, before it takes buffers; the first question of a call may
   * wait, later ones only count, so that no two calls wait for each other.
   */
  reserve(bytes: number): undefined | Promise<void>;
}

/**
 * A procedure as the server calls it: reads its arguments, writes its result after the accepted-reply header. An XdrError while
 * it reads becomes GARBAGE_ARGS; what is thrown otherwise SYSTEM_ERR. What it wrote before it threw is dropped.
 */
export interface RpcProcedure {
  readonly name: string;
  call(args: XdrReader, result: XdrWriter, call: RpcCall): void | Promise<void>;
}

/** One version of a program: procedures by number. */
export type RpcVersion = ReadonlyMap<number, RpcProcedure>;

/** A program: versions by number. */
export interface RpcProgram {
  readonly name: string;
  /** As assigned, e.g. 100003 for NFS. */
  readonly program: number;
  readonly versions: ReadonlyMap<number, RpcVersion>;
  /** Also answered without TLS where the server requires it: its clients cannot do otherwise. @default false */
  readonly withoutTls?: boolean;
}

/** A procedure with codecs for its arguments and its result. */
export interface Procedure<Args, Result> {
  readonly name: string;
  readonly args: Codec<Args>;
  readonly result: Codec<Result>;
  handle(args: Args, call: RpcCall): Result | Promise<Result>;
}

/** Makes a {@link Procedure} one that the server can call. Arguments must be used up. */
export function procedure<Args, Result>(definition: Procedure<Args, Result>): RpcProcedure {
  const { name, args: argsCodec } = definition;
  return {
    name,
    call: (reader, writer, call) => {
      const args = argsCodec.decode(reader);
      reader.end();
      const result = definition.handle(args, call);
      if (!(result instanceof Promise)) {
        write(definition, writer, result);
        return undefined;
      }
      return result.then((value) => write(definition, writer, value));
    },
  };
}

/** A result that does not fit its codec is our own mistake, which must not be told to the caller as his. */
function write<Result>(
  { name, result }: { readonly name: string; readonly result: Codec<Result> },
  writer: XdrWriter,
  value: Result,
): void {
  try {
    result.encode(writer, value);
  } catch (error) {
    if (!(error instanceof XdrError)) throw error;
    throw new CalyxError('internal', `the result of ${name} is not as its codec has it: ${error.message}`, {
      cause: error,
    });
  }
}
