import { canMount, tlsObstacle, type ClientFacts } from '../../../placement/mount-advice/client-facts.js';
import { note, ok, type Verdict } from '../finding.js';

/** Whether this machine could mount a store, and with TLS. It need not: there are other ways to read blocks, so nothing here is a problem. */
export function checkKernelNfs(facts: ClientFacts, tlshdRuns: boolean): Verdict[] {
  const versions = (['4.2', '3'] as const).filter((version) => canMount(facts, version));
  const { kernel, modules } = facts;
  if (versions.length === 0)
    return [
      note(
        `this kernel (${kernel}) has no NFS client`,
        'to mount, install the modules nfs and nfsv4 (Debian: the full kernel image); calyx fetch and calyx node need none',
      ),
    ];
  const unknown = modules.nfs === 'unknown' ? ', as far as can be seen' : '';
  const which = versions.includes('4.2') ? 'NFS 4.2' : 'NFS 3';
  const helper = facts.mountHelper
    ? ok(`the kernel (${kernel}) can mount ${which}${unknown}`)
    : note(
        `the kernel (${kernel}) can mount ${which}${unknown}, but mount.nfs is not installed`,
        'to mount, install nfs-common (Debian, Ubuntu) or nfs-utils',
      );
  return [helper, tls(facts, tlshdRuns)];
}

function tls(facts: ClientFacts, tlshdRuns: boolean): Verdict {
  const obstacle = tlsObstacle(facts);
  if (obstacle !== undefined)
    return note(
      `no mounts with TLS (xprtsec): ${obstacle}`,
      facts.tls.kernel === 'no'
        ? 'where it matters, mount from a newer kernel, or read over HTTPS: calyx fetch, calyx node'
        : 'install ktls-utils, and start tlshd',
    );
  if (!tlshdRuns)
    return note(
      'no mounts with TLS (xprtsec) now: tlshd is installed, but does not run',
      'systemctl enable --now tlshd',
    );
  return facts.tls.kernel === 'yes'
    ? ok('mounts with TLS (xprtsec=tls, mtls) can be made: the kernel has it, and tlshd runs')
    : note('mounts with TLS (xprtsec) may work: tlshd runs, but the configuration of the kernel cannot be read');
} // prettier-ignore
