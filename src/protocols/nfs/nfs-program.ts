import type { RpcProgram, RpcVersion } from '../rpc/rpc-program.js';

/** The number of NFS among RPC programs. */
export const NFS_PROGRAM = 100_003;

/** NFS with these versions, by number. */
export function nfsProgram(versions: Readonly<Record<number, RpcVersion>>): RpcProgram {
  const byNumber = Object.entries(versions).map(([number, version]) => [Number(number), version] as const);
  return { name: 'NFS', program: NFS_PROGRAM, versions: new Map(byNumber) };
}
