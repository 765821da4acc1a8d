import type { NfsExports } from '../nfs/exports.js';
import type { RpcCall } from '../rpc/rpc-program.js';
import { Nfs3Error } from './status.js';

/** Tells of a failure that is no ordinary answer, unless nobody waits for the answer any more. */
export function reportFailure(exports: NfsExports, call: RpcCall, what: string, error: unknown): void {
  if (error instanceof Nfs3Error || call.signal.aborted) return;
  exports.onError(`NFSv3 ${what}`, call.connection.peer, error);
}
