import { XdrError } from '../xdr/xdr-error.js';
import type { XdrReader } from '../xdr/xdr-reader.js';
import { readCallHeader, type CallHeader } from './call-header.js';
import type { CredentialReader } from './credentials.js';
import {
  authError,
  failedReply,
  MessageWriter,
  rpcMismatch,
  startTlsReply,
  versionMismatch,
} from './reply-header.js';
import { AcceptStatus, AuthStatus, Flavor, NULL_PROCEDURE, RPC_VERSION } from './rpc-protocol.js';
import type { RpcCredential, RpcProcedure, RpcProgram } from './rpc-program.js';

/** The procedure that a call asks for, and for whom. */
export interface Route {
  readonly procedure: RpcProcedure;
  readonly credential: RpcCredential;
}

/** After this reply the connection goes on with a TLS handshake. */
export interface StartTls {
  readonly startTls: MessageWriter;
}

/** What calls may ask for. */
export interface Routes {
  readonly programs: ReadonlyMap<number, RpcProgram>;
  /** False: nothing but NULL. */
  readonly admitted: boolean;
  /** False: of most programs nothing but NULL, see {@link RpcProgram.withoutTls}. */
  readonly secured: boolean;
  readonly credentials: CredentialReader;
  /** Whether a probe for TLS is answered by beginning it. */
  readonly offersTls: boolean;
  /** Told for each call of more than NULL whether it may ask. */
  onEntry(allowed: boolean): void;
}

/** Reads a call after its xid and type, up to its arguments. Where it leads to no procedure: the reply that says so. */
export function routeCall(reader: XdrReader, xid: number, routes: Routes): Route | StartTls | MessageWriter {
  let header: CallHeader;
  try {
    if (reader.uint32() !== RPC_VERSION) return rpcMismatch(xid);
    header = readCallHeader(reader);
  } catch (error) {
    if (error instanceof XdrError) return failedReply(xid, AcceptStatus.GARBAGE_ARGS);
    throw error;
  }
  if (header.flavor === Flavor.TLS && routes.offersTls) return routeProbe(xid, header, routes);
  const credential = routes.credentials.read(header);
  if (typeof credential === 'number') return authError(xid, credential);
  if (header.procedure !== NULL_PROCEDURE) {
    const allowed = mayAsk(header, routes);
    routes.onEntry(allowed);
    if (!allowed) return authError(xid, AuthStatus.TOOWEAK);
  }
  const procedure = find(xid, header, routes);
  return procedure instanceof MessageWriter ? procedure : { procedure, credential };
}

/**
 * A call of flavor AUTH_TLS (RFC 9289, section 4.1): NULL with an empty credential and an empty verifier, or it is turned away. Where TLS is not
 * offered, as within TLS, it never comes here, and is turned away as is every flavor that is not known.
 */
function routeProbe(xid: number, header: CallHeader, routes: Routes): StartTls | MessageWriter {
  if (header.procedure !== NULL_PROCEDURE || header.credential.byteLength > 0)
    return authError(xid, AuthStatus.BADCRED);
  if (header.verifierFlavor !== Flavor.NONE || header.verifierBytes > 0)
    return authError(xid, AuthStatus.BADVERF);
  const procedure = find(xid, header, routes);
  return procedure instanceof MessageWriter ? procedure : { startTls: startTlsReply(xid) };
}

function mayAsk(header: CallHeader, { admitted, secured, programs }: Routes): boolean {
  return admitted && (secured || programs.get(header.program)?.withoutTls === true);
}

function find(xid: number, header: CallHeader, { programs }: Routes): RpcProcedure | MessageWriter {
  const program = programs.get(header.program);
  if (program === undefined) return failedReply(xid, AcceptStatus.PROG_UNAVAIL);
  const version = program.versions.get(header.version);
  if (version === undefined) return versionMismatch(xid, program.versions.keys());
  return version.get(header.procedure) ?? failedReply(xid, AcceptStatus.PROC_UNAVAIL);
}
