import type { NfsExports } from '../nfs/exports.js';
import { procedure, type RpcVersion } from '../rpc/rpc-program.js';
import { nothing } from '../xdr/codec.js';
import { compound } from './compound.js';
import { ServerState, type Nfs4Options } from './state/server-state.js';

const NULL = 0;
const COMPOUND = 1;

/** A server of NFS version 4. */
export interface Nfs4Server {
  /** Its procedures, to be served together with other versions. */
  readonly version: RpcVersion;
  readonly state: ServerState;
}

/**
 * Serves `exports` by NFS version 4, minor versions 1 and 2. Leases that are over are noticed when requests
 * come; to notice them without, call `state.expireLeases()` now and then.
 */
export function nfs4Server(exports: NfsExports, options: Nfs4Options = {}): Nfs4Server {
  const state = new ServerState(exports, options);
  const version: RpcVersion = new Map([
    [NULL, procedure({ name: 'NULL', args: nothing, result: nothing, handle: () => undefined })],
    [
      COMPOUND,
      { name: 'COMPOUND', call: (args, result, call) => compound(state, exports, args, result, call) },
    ],
  ]);
  return { version, state };
}
