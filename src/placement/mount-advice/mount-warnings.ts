import type { AdviceInput } from './advice-input.js';
import { canMount, NFS_VERSIONS, tlsObstacle, type ClientFacts, type StoreFacts } from './client-facts.js';

/** Files smaller than this are read too fast to tell one way from another. */
const SMALL_FILE = 64 * 2 ** 20;

/** What stands in the way of the mount, or should be known about it. */
export function mountWarnings({ client, store, measurements, link }: AdviceInput): string[] {
  const warnings: string[] = [];
  const { file, results } = measurements;
  if (NFS_VERSIONS.every((version) => !canMount(client, version)))
    warnings.push(
      `this kernel (${client.kernel}) has no NFS client; install the modules (Debian's cloud kernels have them in the full linux-image), or use calyx fetch instead of a mount`,
    );
  if (!client.mountHelper)
    warnings.push(
      'mount.nfs is not installed; install nfs-common (Debian, Ubuntu) or nfs-utils, or add addr=ADDRESS to the options',
    );
  if (results.some(({ trial }) => trial.by === 'protocol'))
    warnings.push(
      'measured by speaking the protocol without the kernel: versions compare, but the figures are not those of a mount; run as root for those. A READ of 4.2 is the very request of 4.1, so only 4.1 was measured of the two',
    );
  if (file !== undefined && file.bytes < SMALL_FILE)
    warnings.push(`the largest file found has only ${file.bytes} bytes: the figures are rough`);
  if (file === undefined && results.length === 0)
    warnings.push('no file to read was found, so nothing was measured');
  if (store.privilegedPorts === 'yes')
    warnings.push(
      'the store serves source ports below 1024 only: mount as root of the machine, and without noresvport',
    );
  warnings.push(...tlsWarnings(client, store));
  if (client.readPlus === 'yes')
    warnings.push(
      'this kernel asks with READ_PLUS on 4.2; Calyx answers that it has none, and the kernel goes on with READ. Of another server make sure that files read right, or take 4.1',
    );
  if (link.mtu !== undefined && !link.loopback && link.mtu < 1500)
    warnings.push(`the MTU of ${link.interface ?? 'the link'} is ${link.mtu}, less than Ethernet's 1500`);
  return warnings;
}

const TRUST =
  'tlshd must trust the certificate of the cluster ([authenticate.client] x509.truststore in /etc/tlshd.conf)';

function tlsWarnings(client: ClientFacts, { tls }: StoreFacts): string[] {
  if (tls === 'no') return [];
  const obstacle = tlsObstacle(client);
  if (tls === 'required')
    return [
      obstacle === undefined ? `the store wants TLS: ${TRUST}` : `the store wants TLS, but ${obstacle}`,
    ];
  if (obstacle !== undefined) return [];
  return [`the store offers TLS, and this machine has it: add xprtsec=tls to encrypt what is read; ${TRUST}`];
}
