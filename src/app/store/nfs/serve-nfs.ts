import { isIP } from 'node:net';
import { CalyxError, isCalyxError } from '../../../core/errors.js';
import { isLoopback } from '../../../protocols/http/guard.js';
import type { ListenAddress } from '../../../protocols/http/create-server.js';
import { nfsProgram } from '../../../protocols/nfs/nfs-program.js';
import { mountProgram } from '../../../protocols/nfs3/mount/mount-program.js';
import { nfs3Version } from '../../../protocols/nfs3/nfs3-program.js';
import { nfs4Server } from '../../../protocols/nfs4/program.js';
import { createRpcServer, type RpcServerLoad } from '../../../protocols/rpc/create-rpc-server.js';
import { LOOPBACK_RULES, type AllowRule } from './nfs-access.js';
import { nfsExports, type ExportParts } from './nfs-exports.js';

/** How a store serves NFS. */
export interface NfsConfig {
  readonly listen: ListenAddress;
  /** Who may mount what; empty: this machine alone. */
  readonly allow: readonly AllowRule[];
  readonly privilegedPorts: boolean;
}

/** How often leases that are over are looked for. */
const EXPIRY_MS = 10_000;

/** An NFS server that runs. */
export interface RunningNfs {
  /** With the port that was chosen. */
  readonly address: ListenAddress;
  load(): RpcServerLoad;
  close(): Promise<void>;
}

/**
 * Refuses to listen where strangers could mount, or where nobody could.
 *
 * @throws CalyxError `refused` for an address beyond loopback if no rule says who may mount; `usage` for one on loopback if rules
 * name other machines only
 */
export function checkNfsConfig({ listen, allow }: NfsConfig): void {
  if (isLoopback(listen.host)) {
    const own = ['127.0.0.1', '::1', listen.host];
    if (allow.length === 0 || allow.some((rule) => own.some((address) => rule.matches(address)))) return;
    throw new CalyxError(
      'usage',
      `--allow names other machines, but NFS on ${listen.host} can be reached from this one alone`,
      { hint: `listen on an address of this machine: --nfs ADDRESS:${listen.port}; or allow 127.0.0.1 too` },
    );
  }
  if (allow.length > 0) return;
  const example = isIP(listen.host) === 4 && listen.host !== '0.0.0.0' ? `${listen.host}/24` : '10.0.0.0/24';
  throw new CalyxError(
    'refused',
    `serving NFS on ${listen.host} without --allow would let every machine that reaches it read the models`,
    {
      hint: `NFS knows clients by their addresses only: say which may mount, e.g. --allow ${example}, or --allow '${example}=ORG/*'`,
    },
  );
}

/** Serves a catalog by NFS versions 3, 4.1 and 4.2, with MOUNT, all on one port. Throws CalyxError `busy`, `usage`. */
export async function serveNfs(
  config: NfsConfig,
  parts: Omit<ExportParts, 'allow' | 'privilegedPorts'>,
): Promise<RunningNfs> {
  const exports = nfsExports({
    ...parts,
    allow: config.allow.length > 0 ? config.allow : LOOPBACK_RULES,
    privilegedPorts: config.privilegedPorts,
  });
  const { version: version4, state } = nfs4Server(exports);
  const nfs = nfsProgram({ 3: nfs3Version(exports), 4: version4 });
  const server = createRpcServer([nfs, mountProgram(exports)], {
    admit: (peer) => exports.treeFor(peer) !== undefined,
    onError: (what, peer, error) => {
      const details = { err: error, what, client: peer?.address };
      // Clients that break the rules or take nothing of their answers are their own concern, faults of ours are not.
      if (isCalyxError(error) && error.code !== 'internal')
        parts.logger.debug(details, 'an NFS client was dropped');
      else parts.logger.error(details, 'serving an NFS client failed');
    },
  });
  const address = await server.listen(config.listen).catch((error: unknown) => {
    if (!isCalyxError(error, 'busy')) throw error;
    throw new CalyxError('busy', error.message, {
      hint: "choose another with --nfs HOST:PORT; 2049 is often that of the kernel's own NFS server",
      cause: error,
    });
  });
  // So that the files of a client that is gone do not count as open.
  const expiry = setInterval(() => state.expireLeases(), EXPIRY_MS).unref();
  return {
    address,
    load: () => server.load(),
    close: () => {
      clearInterval(expiry);
      return server.close();
    },
  };
}
