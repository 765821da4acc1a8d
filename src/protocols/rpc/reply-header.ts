import { XdrWriter, type Written } from '../xdr/xdr-writer.js';
import {
  AcceptStatus,
  Flavor,
  LAST_FRAGMENT,
  MARK_BYTES,
  MessageType,
  RejectStatus,
  ReplyStatus,
  RPC_VERSION,
  STARTTLS,
  type AuthStatus,
} from './rpc-protocol.js';

const NO_VERIFIER = new Uint8Array();

/** A message with room for its record mark before it. */
export class MessageWriter extends XdrWriter {
  readonly #setMark = this.laterUint32();

  /** The message as one record of one fragment; the writer must not be used afterwards. */
  finishRecord(): Written {
    this.#setMark(LAST_FRAGMENT + this.byteLength - MARK_BYTES);
    return this.finish();
  }
}

/** A reply up to the result of the procedure (RFC 5531, section 9). */
export function acceptedReply(xid: number): MessageWriter {
  return accepted(xid, AcceptStatus.SUCCESS);
}

/** The reply to the probe of RFC 9289 (section 4.1): TLS may begin. */
export function startTlsReply(xid: number): MessageWriter {
  return accepted(xid, AcceptStatus.SUCCESS, STARTTLS);
}

/** A reply that says why the procedure was not run or has no result. */
export function failedReply(
  xid: number,
  status: Exclude<(typeof AcceptStatus)[keyof typeof AcceptStatus], 0 | 2>,
): MessageWriter {
  return accepted(xid, status);
}

/** A reply that tells which versions of the program there are. */
export function versionMismatch(xid: number, versions: Iterable<number>): MessageWriter {
  const writer = accepted(xid, AcceptStatus.PROG_MISMATCH);
  const known = [...versions];
  writer.uint32(Math.min(...known));
  writer.uint32(Math.max(...known));
  return writer;
}

/** A reply to a call of another version of RPC. */
export function rpcMismatch(xid: number): MessageWriter {
  const writer = reply(xid, ReplyStatus.DENIED);
  writer.uint32(RejectStatus.RPC_MISMATCH);
  writer.uint32(RPC_VERSION);
  writer.uint32(RPC_VERSION);
  return writer;
}

/** A reply to a caller that is turned away. */
export function authError(xid: number, status: AuthStatus): MessageWriter {
  const writer = reply(xid, ReplyStatus.DENIED);
  writer.uint32(RejectStatus.AUTH_ERROR);
  writer.uint32(status);
  return writer;
}

function accepted(xid: number, status: number, verifier: Uint8Array = NO_VERIFIER): MessageWriter {
  const writer = reply(xid, ReplyStatus.ACCEPTED);
  writer.uint32(Flavor.NONE);
  writer.opaque(verifier);
  writer.uint32(status);
  return writer;
}

function reply(xid: number, status: number): MessageWriter {
  const writer = new MessageWriter();
  writer.uint32(xid);
  writer.uint32(MessageType.REPLY);
  writer.uint32(status);
  return writer;
}
