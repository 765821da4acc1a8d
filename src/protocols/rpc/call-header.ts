import type { XdrReader } from '../xdr/xdr-reader.js';
import type { XdrWriter } from '../xdr/xdr-writer.js';
import { MAX_AUTH_BYTES, MessageType, RPC_VERSION } from './rpc-protocol.js';

/** What stands before the arguments of a call, after its xid, type and RPC version (RFC 5531, section 9). */
export interface CallHeader {
  readonly program: number;
  readonly version: number;
  readonly procedure: number;
  readonly flavor: number;
  /** A view. */
  readonly credential: Uint8Array;
  readonly verifierFlavor: number;
  readonly verifierBytes: number;
}

/** Reads what follows the RPC version; throws XdrError. */
export function readCallHeader(reader: XdrReader): CallHeader {
  return {
    program: reader.uint32(),
    version: reader.uint32(),
    procedure: reader.uint32(),
    flavor: reader.uint32(),
    credential: reader.opaque(MAX_AUTH_BYTES),
    verifierFlavor: reader.uint32(),
    verifierBytes: reader.opaque(MAX_AUTH_BYTES).byteLength,
  };
}

/** Writes a call up to its arguments. */
export function writeCallHeader(
  writer: XdrWriter,
  call: Pick<CallHeader, 'program' | 'version' | 'procedure' | 'flavor' | 'credential'> & {
    readonly xid: number;
  },
): void {
  writer.uint32(call.xid);
  writer.uint32(MessageType.CALL);
  writer.uint32(RPC_VERSION);
  writer.uint32(call.program);
  writer.uint32(call.version);
  writer.uint32(call.procedure);
  writer.uint32(call.flavor);
  writer.opaque(call.credential);
  // The verifier: none.
  writer.uint32(0);
  writer.uint32(0);
}
