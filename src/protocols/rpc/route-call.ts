import { XdrError } from '../xdr/xdr-error.js';
import type { XdrReader } from '../xdr/xdr-reader.js';
import { readCallHeader, type CallHeader } from './call-header.js';
import type { CredentialReader } from './credentials.js';
import { authError, failedReply, rpcMismatch, versionMismatch, type MessageWriter } from './reply-header.js';
import { AcceptStatus, AuthStatus, NULL_PROCEDURE, RPC_VERSION } from './rpc-protocol.js';
import type { RpcCredential, RpcProcedure, RpcProgram } from './rpc-program.js';

/** The procedure that a call asks for, and for whom. */
export interface Route {
  readonly procedure: RpcProcedure;
  readonly credential: RpcCredential;
}

/** What calls may ask for. */
export interface Routes {
  readonly programs: ReadonlyMap<number, RpcProgram>;
  /** False: nothing but NULL. */
  readonly admitted: boolean;
  readonly credentials: CredentialReader;
}

/** Reads a call after its xid and type, up to its arguments. Where it leads to no procedure: the reply that says so. */
export function routeCall(reader: XdrReader, xid: number, routes: Routes): Route | MessageWriter {
  let header: CallHeader;
  try {
    if (reader.uint32() !== RPC_VERSION) return rpcMismatch(xid);
    header = readCallHeader(reader);
  } catch (error) {
    if (error instanceof XdrError) return failedReply(xid, AcceptStatus.GARBAGE_ARGS);
    throw error;
  }
  const credential = routes.credentials.read(header);
  if (typeof credential === 'number') return authError(xid, credential);
  if (!routes.admitted && header.procedure !== NULL_PROCEDURE) return authError(xid, AuthStatus.TOOWEAK);
  const program = routes.programs.get(header.program);
  if (program === undefined) return failedReply(xid, AcceptStatus.PROG_UNAVAIL);
  const version = program.versions.get(header.version);
  if (version === undefined) return versionMismatch(xid, program.versions.keys());
  const procedure = version.get(header.procedure);
  if (procedure === undefined) return failedReply(xid, AcceptStatus.PROC_UNAVAIL);
  return { procedure, credential };
}
