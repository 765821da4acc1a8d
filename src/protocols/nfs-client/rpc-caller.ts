import type { XdrReader } from '../xdr/xdr-reader.js';
import type { XdrWriter } from '../xdr/xdr-writer.js';

/** A procedure by its numbers. */
export interface RemoteProcedure {
  readonly program: number;
  readonly version: number;
  readonly procedure: number;
}

/** What calls remote procedures over one connection; several calls may be under way. */
export interface RpcCaller {
  /**
   * Calls a procedure; its result is what the reader stands before.
   *
   * @throws CalyxError: `unavailable` if the connection fails, `unsupported` if the server lacks the program, its version or the
   *   procedure, `refused` if it denies the call, `timeout`
   */
  call(
    procedure: RemoteProcedure,
    encodeArguments: (writer: XdrWriter) => void,
    signal: AbortSignal,
  ): Promise<XdrReader>;
  close(): void;
}
