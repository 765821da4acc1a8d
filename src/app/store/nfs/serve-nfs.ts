import { isIP } from 'node:net';
import type { TlsSettings } from '../../../core/access.js';
import { wallClock } from '../../../core/clock.js';
import type { Doorkeeper } from '../../../core/doorkeeper.js';
import { CalyxError, isCalyxError } from '../../../core/errors.js';
import { isLoopback } from '../../../protocols/http/guard.js';
import type { ListenAddress } from '../../../protocols/http/create-server.js';
import { nfsProgram } from '../../../protocols/nfs/nfs-program.js';
import { mountProgram } from '../../../protocols/nfs3/mount/mount-program.js';
import { nfs3Version } from '../../../protocols/nfs3/nfs3-program.js';
import { nfs4Server } from '../../../protocols/nfs4/program.js';
import { createRpcServer, type RpcServerLoad } from '../../../protocols/rpc/create-rpc-server.js';
import type { RpcPeer } from '../../../protocols/rpc/rpc-program.js';
import { CertificateEnds } from './certificate-ends.js';
import type { ClientRules } from './client-policy.js';
import type { AllowRule } from './nfs-access.js';
import { nfsExports, type ExportParts } from './nfs-exports.js';

/** How a store serves NFS. */
export interface NfsConfig {
  readonly listen: ListenAddress;
  /** Who may mount what; empty: this machine alone. */
  readonly allow: readonly AllowRule[];
  readonly privilegedPorts: boolean;
  /** Without TLS nothing is answered that tells anything. */
  readonly requireTls: boolean;
  /** Only clients that show a certificate of the cluster; implies TLS. It takes the place of `allow` if that is empty. */
  readonly requireClientCertificate: boolean;
}

/** What NFS is served with. */
export interface NfsParts extends Omit<ExportParts, keyof ClientRules> {
  /** Offers RPC-with-TLS with the settings of the moment. */
  readonly tls?: (() => TlsSettings) | undefined;
  readonly doorkeeper?: Doorkeeper | undefined;
}

/** How often leases that are over are looked for. */
const EXPIRY_MS = 10_000;
/** How often connections are looked for that have outlived their certificate: it ends as soon as a token that is revoked. */
const CERTIFICATES_MS = 1_000;

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
export function checkNfsConfig({ listen, allow, requireClientCertificate }: NfsConfig): void {
  if (isLoopback(listen.host)) {
    const own = ['127.0.0.1', '::1', listen.host];
    if (allow.length === 0 || allow.some((rule) => own.some((address) => rule.matches(address)))) return;
    throw new CalyxError(
      'usage',
      `--allow names other machines, but NFS on ${listen.host} can be reached from this one alone`,
      { hint: `listen on an address of this machine: --nfs ADDRESS:${listen.port}; or allow 127.0.0.1 too` },
    );
  }
  if (allow.length > 0 || requireClientCertificate) return;
  const example = isIP(listen.host) === 4 && listen.host !== '0.0.0.0' ? `${listen.host}/24` : '10.0.0.0/24';
  throw new CalyxError(
    'refused',
    `serving NFS on ${listen.host} without --allow would let every machine that reaches it read the models`,
    {
      hint: `say which may mount, e.g. --allow ${example}, or --allow '${example}=ORG/*'; or let in who has a certificate: --nfs-require-client-cert`,
    },
  );
}

/**
 * Serves a catalog by NFS versions 3, 4.1 and 4.2, with MOUNT, all on one port, without TLS and with it. A token that is revoked ends the
 * connections of its certificates at once, and a certificate that is over its own; a client that has a newer one comes again by itself.
 *
 * @throws CalyxError `busy`, `usage`; `unsupported` if TLS is required and there is nothing to make it with
 */
export async function serveNfs(config: NfsConfig, parts: NfsParts): Promise<RunningNfs> {
  const { tls, doorkeeper, ...shown } = parts;
  const requireTls = config.requireTls || config.requireClientCertificate;
  if (requireTls && tls === undefined)
    throw new CalyxError('unsupported', 'NFS cannot require TLS: this store has no identity', {
      hint: 'leave --nfs-require-tls and --nfs-require-client-cert away',
    });
  const exports = nfsExports({ ...shown, ...config, requireTls, doorkeeper });
  const { version: version4, state } = nfs4Server(exports);
  const nfs = nfsProgram({ 3: nfs3Version(exports), 4: version4 });
  const server = createRpcServer([nfs, mountProgram(exports)], {
    admit: (peer) => exports.treeFor(peer) !== undefined,
    onEntry: (peer, allowed) => exports.onEntry(peer, allowed),
    requireTls,
    ...(tls === undefined ? {} : { tls }),
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
  const ends = new CertificateEnds();
  const outlived = (peer: RpcPeer): boolean => {
    const over = ends.isOver(peer, wallClock.now());
    if (over) parts.logger.info({ address: peer.address }, 'a connection was cut: its certificate is over');
    return over;
  };
  const certificates = setInterval(() => server.disconnect(outlived), CERTIFICATES_MS).unref();
  const unsubscribe = doorkeeper?.onRevoked((id) =>
    server.disconnect((peer) => exports.tokenOf(peer) === id),
  );
  return {
    address,
    load: () => server.load(),
    close: () => {
      clearInterval(expiry);
      clearInterval(certificates);
      unsubscribe?.();
      return server.close();
    },
  };
}
