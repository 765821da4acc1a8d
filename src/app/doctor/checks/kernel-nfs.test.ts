import { describe, expect, it } from 'vitest';
import type { ClientFacts } from '../../../placement/mount-advice/client-facts.js';
import { checkKernelNfs } from './kernel-nfs.js';

const facts: ClientFacts = {
  kernel: '6.12.1',
  modules: { nfs: 'loaded', nfsv3: 'loadable', nfsv4: 'loaded' },
  readPlus: 'no',
  tls: { kernel: 'yes', tlshd: true },
  mountHelper: true,
  mayMount: true,
  cores: 2,
  readAheadKb: undefined,
};
const missing = { nfs: 'missing', nfsv3: 'missing', nfsv4: 'missing' } as const;

describe('checkKernelNfs', () => {
  it('is content with a kernel that has it all', () => {
    expect(checkKernelNfs(facts, true)).toMatchObject([
      { severity: 'ok', message: 'the kernel (6.12.1) can mount NFS 4.2' },
      { severity: 'ok', message: expect.stringContaining('xprtsec=tls') as string },
    ]);
  });

  it.each<[string, Partial<ClientFacts>, boolean, string, string]>([
    ['no NFS', { modules: missing }, true, 'has no NFS client', 'calyx fetch'],
    ['no mount.nfs', { mountHelper: false }, true, 'mount.nfs is not installed', 'nfs-common'],
    ['an old kernel', { kernel: '6.1.0', tls: { kernel: 'no', tlshd: true } }, true, 'came with Linux 6.5', 'newer kernel'],
    ['no tlshd', { tls: { kernel: 'yes', tlshd: false } }, false, 'is not installed', 'install ktls-utils'],
    ['tlshd that does not run', {}, false, 'does not run', 'systemctl enable --now tlshd'],
  ])('notes %s, and the way out', (_, changed, runs, message, wayOut) => {
    const verdicts = checkKernelNfs({ ...facts, ...changed }, runs);
    expect(verdicts.filter(({ severity }) => severity !== 'ok')).toEqual([
      {
        severity: 'note',
        message: expect.stringContaining(message) as string,
        wayOut: expect.stringContaining(wayOut) as string,
      },
    ]);
  });
}); // prettier-ignore
