import { join } from 'node:path';
import type { Guest } from './guest.js';
import { unpackedPackages } from './packages.js';

/** What a client of NFS over TLS trusts and shows: directories in the guest, as `calyx certificate` makes them. */
export interface TlsIdentity {
  /** Its `ca.pem` must have issued the server's certificate. */
  readonly trusts: string;
  /** Its `certificate.pem` is shown by mounts with `xprtsec=mtls`. */
  readonly shows: string;
}

const STATE = '/run/tlshd';

/**
 * Starts tlshd, which makes the kernel's TLS handshakes (package ktls-utils), in a guest with a kernel that has them (6.12), in place of
 * one that runs already; waits until the kernel can call it. What it says is in `tlshd.log` of the guest's `/run/tlshd`.
 */
export async function startTlshd(guest: Guest, { trusts, shows }: TlsIdentity): Promise<void> {
  const { newer } = unpackedPackages('6.12');
  const libraries = join(newer, 'usr/lib/x86_64-linux-gnu');
  const loader = `${join(libraries, 'ld-linux-x86-64.so.2')} --library-path ${libraries}`;
  const settings = `[debug]
loglevel=1
[authenticate]
[authenticate.client]
x509.truststore=${trusts}/ca.pem
x509.certificate=${shows}/certificate.pem
x509.private_key=${shows}/key.pem`;
  // The kernel calls who listens to its generic netlink (protocol 16) group; nobody else does.
  const listens = `awk '$2 == 16 && $4 !~ /^0*$/ { found = 1 } END { exit !found }' /proc/net/netlink`;
  await guest.sh(
    [
      'modprobe tls',
      `if test -e ${STATE}/pid; then kill $(cat ${STATE}/pid); while ${listens}; do busybox usleep 10000; done; fi`,
      `mkdir -p ${STATE}`,
      `cat >${STATE}/tlshd.conf <<'END'\n${settings}\nEND`,
      `setsid ${loader} ${join(newer, 'usr/sbin/tlshd')} --stderr --config ${STATE}/tlshd.conf >>${STATE}/tlshd.log 2>&1 &`,
      `echo $! >${STATE}/pid`,
      `until ${listens}; do kill -0 $! || { cat ${STATE}/tlshd.log >&2; exit 1; }; busybox usleep 10000; done`,
    ].join('\n'),
  );
}

/** What tlshd said so far, of all that were started. */
export function tlshdLog(guest: Guest): Promise<string> {
  return guest.sh(`cat ${STATE}/tlshd.log`);
}
