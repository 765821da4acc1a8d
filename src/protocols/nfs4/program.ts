import type { NfsExports } from '../nfs/exports.js';
import { procedure, type RpcProgram, type RpcVersion } from '../rpc/rpc-program.js';
import { nothing } from '../xdr/codec.js';
import { compound } from './compound.js';
import { ServerState, type Nfs4Options } from './state/server-state.js';

/** The number of NFS. */
const PROGRAM = 100_003;
const VERSION = 4;
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

/** The procedures of NFS version 4. */
export function nfs4Version(exports: NfsExports, options: Nfs4Options = {}): RpcVersion {
  return nfs4Server(exports, options).version;
}

/** NFS with version 4 alone. */
export function nfs4Program(exports: NfsExports, options: Nfs4Options = {}): RpcProgram {
  return {
    name: 'NFS',
    program: PROGRAM,
    versions: new Map([[VERSION, nfs4Version(exports, options)]]),
  };
}
