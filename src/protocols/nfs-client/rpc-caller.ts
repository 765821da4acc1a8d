import { RpcClient } from '../rpc/rpc-client.js';
import type { ClientTls } from '../rpc/start-tls.js';
import type { Codec } from '../xdr/codec.js';
import { XdrReader } from '../xdr/xdr-reader.js';
import type { XdrWriter } from '../xdr/xdr-writer.js';

/** A procedure by its numbers. */
export interface RemoteProcedure {
  readonly program: number;
  readonly version: number;
  readonly procedure: number;
}

/** What calls remote procedures over one connection; several calls may be under way. */
export interface RpcCaller {
  /** Calls a procedure; its result is what the reader stands before. Throws as `RpcClient.call` does. */
  call(
    procedure: RemoteProcedure,
    encodeArguments: (writer: XdrWriter) => void,
    signal: AbortSignal,
  ): Promise<XdrReader>;
  close(): void;
}

/** Where to connect to. */
export interface CallerOptions {
  readonly host: string;
  readonly port: number;
  /** Whether to take a source port below 1024, which needs root. */
  readonly privileged: boolean;
  readonly signal: AbortSignal;
  /** For the connection. */
  readonly timeoutMs: number;
  /** For each call. */
  readonly callTimeoutMs: number;
  /** @default no TLS */
  readonly tls?: ClientTls | undefined;
}

/** As kernels do for root. */
const CREDENTIAL = { flavor: 'sys', machine: 'calyx', uid: 0, gid: 0, gids: [] } as const;

/** What is left, to be decoded by who asked: a failure has another form than a success. */
const rest: Codec<XdrReader> = {
  encode: () => undefined,
  decode: (reader) => new XdrReader(reader.fixedOpaque(reader.remaining)),
};

/** Connects to a server; throws as `RpcClient.connect` does. */
export async function connectCaller(options: CallerOptions): Promise<RpcCaller> {
  const { privileged, callTimeoutMs, ...others } = options;
  const client = await RpcClient.connect({ ...others, ...(privileged ? { localPort: 'privileged' } : {}) });
  return {
    call: ({ program, version, procedure }, encodeArguments, signal) =>
      client.call(program, version, procedure, argumentsBy(encodeArguments), undefined, rest, {
        credential: CREDENTIAL,
        signal,
        timeoutMs: callTimeoutMs,
      }),
    close: () => client.close(),
  };
}

function argumentsBy(encode: (writer: XdrWriter) => void): Codec<undefined> {
  return { encode, decode: () => undefined };
}
