import { CalyxError } from '../../core/errors.js';
import type { XdrReader } from '../xdr/xdr-reader.js';
import { AcceptStatus, MAX_AUTH_BYTES, RejectStatus, ReplyStatus } from './rpc-protocol.js';

/** Reasons of a server to turn a caller away (RFC 5531, section 9; those of RPCSEC_GSS are left out). */
const AUTH_REASONS: Readonly<Record<number, string>> = {
  1: 'bad credential',
  2: 'rejected credential',
  3: 'bad verifier',
  4: 'rejected verifier',
  5: 'access denied (too weak)',
};

/**
 * Reads a reply after its xid and type, up to the result.
 *
 * @param server names it in errors
 * @param what names the call in errors
 * @throws CalyxError that says what the server answered: `unsupported` if it does not have the program, the version or the
 * procedure, `refused` if it turns the caller away or does not understand the arguments, `unavailable` if it failed; XdrError if it is no reply
 */
export function readReplyHeader(reader: XdrReader, server: string, what: string): void {
  const status = reader.uint32();
  if (status === ReplyStatus.DENIED) throw denied(reader, server, what);
  if (status !== ReplyStatus.ACCEPTED)
    throw new CalyxError('corrupt', `${server} sent a reply of status ${status}`);
  reader.uint32();
  reader.opaque(MAX_AUTH_BYTES);
  const accepted = reader.uint32();
  switch (accepted) {
    case AcceptStatus.SUCCESS:
      return;
    case AcceptStatus.PROG_UNAVAIL:
      throw new CalyxError('unsupported', `${server} does not have the program of ${what}`);
    case AcceptStatus.PROG_MISMATCH:
      throw new CalyxError(
        'unsupported',
        `${server} does not have the version of ${what}, it has ${versions(reader)}`,
      );
    case AcceptStatus.PROC_UNAVAIL:
      throw new CalyxError('unsupported', `${server} does not have ${what}`);
    case AcceptStatus.GARBAGE_ARGS:
      throw new CalyxError('refused', `${server} does not understand the arguments of ${what}`);
    case AcceptStatus.SYSTEM_ERR:
      throw new CalyxError('unavailable', `${server} failed to answer ${what}`, {
        hint: 'its own log may say why',
      });
    default:
      throw new CalyxError('corrupt', `${server} answered ${what} with status ${accepted}`);
  }
}

function denied(reader: XdrReader, server: string, what: string): CalyxError {
  const reject = reader.uint32();
  if (reject === RejectStatus.RPC_MISMATCH)
    return new CalyxError('unsupported', `${server} speaks RPC ${versions(reader)}, not 2`);
  if (reject !== RejectStatus.AUTH_ERROR)
    return new CalyxError('corrupt', `${server} turned ${what} away with reason ${reject}`);
  const reason = reader.uint32();
  return new CalyxError(
    'refused',
    `${server} turned ${what} away: ${AUTH_REASONS[reason] ?? `reason ${reason}`}`,
    { hint: 'ask who runs it whether this address may use it, and from which ports' },
  );
}

function versions(reader: XdrReader): string {
  const low = reader.uint32();
  const high = reader.uint32();
  return low === high ? `version ${low}` : `versions ${low} to ${high}`;
}
