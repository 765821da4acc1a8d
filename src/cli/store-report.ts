import { networkInterfaces } from 'node:os';
import type { RunningStore } from '../app/store/run-store.js';
import type { AllowRule } from '../app/store/nfs/nfs-access.js';
import { DEFAULT_MOUNT_POINT, mountCommands } from '../placement/mount-advice/mount-commands.js';
import type { MountSecurity } from '../placement/mount-advice/mount-options.js';
import { note, printJson } from './terminal.js';

/** What a store says when it listens, as one line of JSON. */
export function printListening(store: RunningStore, data: string, security: MountSecurity | undefined): void {
  const { url, nfs, nfsProblem } = store;
  const shown = nfs && { ...nfs, mount: mountsOf(nfs, security) };
  printJson({ event: 'listening', url, nfs: shown ?? null, nfsProblem: nfsProblem?.message ?? null, data });
}

/** Who may mount, and how. */
export interface MountLimits {
  readonly allow: readonly AllowRule[];
  readonly security: MountSecurity | undefined;
}

/** What a store says when it listens, for people. */
export function noteListening(store: RunningStore, data: string, { allow, security }: MountLimits): void {
  const { url, nfs, nfsProblem } = store;
  note(`store listening on ${url}, data in ${data}`);
  note(`publish a model:   calyx add DIRECTORY --name ORG/NAME --data ${data}`);
  note(`fetch some blocks: calyx fetch ORG/NAME --blocks 0:4 --into DIRECTORY --store ${url}`);
  if (nfsProblem !== undefined)
    note(`NFS is not served: ${nfsProblem.message}; choose a port with --nfs HOST:PORT, or say --no-nfs`);
  if (nfs === undefined) return;
  const mounts = mountsOf(nfs, security);
  const host = reachable(nfs.host);
  note(
    `NFS on ${nfs.host}:${nfs.port} for ${whomOf({ allow, security })}; to mount, as root, after mkdir -p ${DEFAULT_MOUNT_POINT}:`,
  );
  note(`  ${mounts['4.2'] ?? ''}`);
  note(`  ${mounts['3'] ?? ''}`);
  note(
    `  calyx advise --nfs ${host.includes(':') ? `[${host}]` : host}:${nfs.port}   finds which is fastest there`,
  );
}

function whomOf({ allow, security }: MountLimits): string {
  const machines = allow.map(({ text }) => text).join(', ');
  if (security !== 'mtls') return machines === '' ? 'this machine' : machines;
  return `${machines === '' ? 'all' : machines} with a certificate of the cluster`;
}

function mountsOf(
  { host, port }: { readonly host: string; readonly port: number },
  security: MountSecurity | undefined,
): {
  readonly '3': string | undefined;
  readonly '4.1': string | undefined;
  readonly '4.2': string | undefined;
} {
  const [v3, v41, v42] = mountCommands({
    host: reachable(host),
    port,
    versions: ['3', '4.1', '4.2'],
    security,
  });
  return { '3': v3, '4.1': v41, '4.2': v42 };
}

/** The address for clients: of one that means all addresses, the first that is not this machine's own. */
function reachable(host: string): string {
  if (host !== '0.0.0.0' && host !== '::') return host;
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const outside = addresses.filter(({ internal }) => !internal);
  const fitting = outside.find(({ family }) => family === 'IPv4') ?? outside[0];
  return fitting?.address ?? '127.0.0.1';
}
