import { reachableHost } from '../app/store/reachable-host.js';
import type { RunningStore } from '../app/store/run-store.js';
import type { AllowRule } from '../app/store/nfs/nfs-access.js';
import { DEFAULT_MOUNT_POINT, mountCommands } from '../placement/mount-advice/mount-commands.js';
import type { MountSecurity } from '../placement/mount-advice/mount-options.js';
import { note, printJson } from './terminal.js';

/** What a store says when it listens, as one line of JSON. */
export function printListening(store: RunningStore, data: string, security: MountSecurity | undefined): void {
  const { url, secured, fingerprint, nfs, nfsProblem, replicaOf } = store;
  printJson({
    event: 'listening',
    url,
    secured,
    fingerprint,
    replicaOf: replicaOf ?? null,
    nfs: nfs === undefined ? null : { ...nfs, mount: mountsOf(nfs, security) },
    nfsProblem: nfsProblem?.message ?? null,
    data,
  });
}

/** Who may mount, and how. */
export interface MountLimits {
  readonly allow: readonly AllowRule[];
  readonly security: MountSecurity | undefined;
  /** NFS is not served because nobody asked for it, and every user of the machine could mount. */
  readonly nfsLeftOut: boolean;
}

/** What a store says when it listens, for people. */
export function noteListening(store: RunningStore, data: string, limits: MountLimits): void {
  const { url, host, beyondLoopback, secured, nfs, nfsProblem, replicaOf } = store;
  const all = host === '0.0.0.0' || host === '::' ? ` and all other addresses of this machine` : '';
  note(`store listening on ${url}${all}, data in ${data}`);
  if (replicaOf === undefined) note(`publish a model:   calyx add DIRECTORY --name ORG/NAME --data ${data}`);
  else
    note(
      `a replica of the cluster at ${replicaOf.join(', ')}: models are published and tokens are made on the store that has its key; name both in 'calyx token create --address HOST:PORT'`,
    );
  if (secured && replicaOf === undefined)
    note(`let a machine in:  calyx token create --role node --data ${data}, and paste what it prints there`);
  else if (!secured) {
    note(`fetch some blocks: calyx fetch ORG/NAME --blocks 0:4 --into DIRECTORY --store ${url}`);
    if (beyondLoopback)
      note(
        'NOT SECURED (--insecure): everyone who reaches this machine can read all models and pose as a node',
      );
  }
  if (nfsProblem !== undefined)
    note(`NFS is not served: ${nfsProblem.message}; choose a port with --nfs HOST:PORT, or say --no-nfs`);
  if (limits.nfsLeftOut)
    note(
      'NFS is not served, because with --tls nobody comes in unknown: serve it with --nfs-require-client-cert, or with --nfs 127.0.0.1:2049 to every user of this machine',
    );
  if (nfs === undefined) return;
  const mounts = mountsOf(nfs, limits.security);
  note(
    `NFS on ${nfs.host}:${nfs.port} for ${whomOf(limits)}; to mount, as root, after mkdir -p ${DEFAULT_MOUNT_POINT}:`,
  );
  note(`  ${mounts['4.2'] ?? ''}`);
  note(`  ${mounts['3'] ?? ''}`);
  note(`  calyx advise --nfs ${reachableHost(nfs.host)}:${nfs.port}   finds which is fastest there`);
}

function whomOf({ allow, security }: MountLimits): string {
  const machines = allow.map(({ text }) => text).join(', ');
  if (security !== 'mtls') return machines === '' ? 'every user of this machine' : machines;
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
    host: reachableHost(host).replace(/^\[|\]$/g, ''),
    port,
    versions: ['3', '4.1', '4.2'],
    security,
  });
  return { '3': v3, '4.1': v41, '4.2': v42 };
}
