import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { testDirectory } from '../../../test/support/directories.js';
import { readClientFacts } from './client-facts.js';
import { systemFiles } from './system-files.js';

const KERNEL = '6.12.41+deb13-amd64';
// Lines of Debian's own files.
const MODULES_DEP =
  'kernel/fs/nfs/nfs.ko.xz: kernel/net/sunrpc/sunrpc.ko.xz\nkernel/fs/nfs/nfsv4.ko.xz: kernel/fs/nfs/nfs.ko.xz\nkernel/fs/nfs/nfsv3.ko.xz: kernel/fs/nfs/nfs.ko.xz\n';
const CONFIG =
  'CONFIG_NFS_FS=m\n# CONFIG_NFS_V2 is not set\nCONFIG_NFS_V3=m\nCONFIG_NFS_V4=m\nCONFIG_NFS_V4_2_READ_PLUS=y\nCONFIG_NET_HANDSHAKE=y\nCONFIG_TLS=m\n';

function facts(
  files: Readonly<Record<string, string | Buffer>>,
  kernel = KERNEL,
): ReturnType<typeof readClientFacts> {
  const root = testDirectory();
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  return readClientFacts(systemFiles(root), kernel);
}

describe('the facts of a client', () => {
  it('of a Debian with modules, as root', () => {
    expect(
      facts({
        [`/lib/modules/${KERNEL}/modules.dep`]: MODULES_DEP,
        [`/boot/config-${KERNEL}`]: CONFIG,
        '/proc/modules': 'nfs 532480 0 - Live 0x0000000000000000\nsunrpc 1 1 nfs, Live 0x0\n',
        '/proc/self/status': 'CapPrm:\t000001ffffffffff\nCapEff:\t000001ffffffffff\n',
        '/usr/sbin/mount.nfs': '',
        '/usr/sbin/tlshd': '',
      }),
    ).toMatchObject({
      kernel: KERNEL,
      modules: { nfs: 'loaded', nfsv3: 'loadable', nfsv4: 'loadable' },
      readPlus: 'yes',
      tls: { kernel: 'yes', tlshd: true },
      mountHelper: true,
      mayMount: true,
    });
  });

  it('of a kernel with everything built in, as a user', () => {
    expect(
      facts({
        [`/lib/modules/${KERNEL}/modules.builtin`]:
          'kernel/fs/nfs/nfs.ko\nkernel/fs/nfs/nfsv3.ko\nkernel/fs/nfs/nfsv4.ko\n',
        '/proc/config.gz': gzipSync('CONFIG_NFS_FS=y\n# CONFIG_NFS_V4_2_READ_PLUS is not set\n'),
        '/proc/self/status': 'CapEff:\t0000000000000000\n',
      }),
    ).toMatchObject({
      modules: { nfs: 'built-in', nfsv3: 'built-in', nfsv4: 'built-in' },
      readPlus: 'no',
      tls: { kernel: 'no', tlshd: false },
      mountHelper: false,
      mayMount: false,
    });
  });

  it('of a kernel that has no NFS, and of one that tells nothing', () => {
    const none = { nfs: 'missing', nfsv3: 'missing', nfsv4: 'missing' };
    expect(facts({ '/proc/config.gz': gzipSync('# CONFIG_NFS_FS is not set\n') }).modules).toEqual(none);
    expect(facts({ [`/lib/modules/${KERNEL}/modules.dep`]: 'kernel/fs/ext4/ext4.ko:\n' }).modules).toEqual(
      none,
    );
    expect(facts({}).modules).toEqual({ nfs: 'unknown', nfsv3: 'unknown', nfsv4: 'unknown' });
    expect(facts({ '/proc/config.gz': 'no gzip' })).toMatchObject({ readPlus: 'unknown' });
    expect(facts({}, '6.1.0').tls.kernel).toBe('no');
    expect(facts({}, '6.5.0').tls.kernel).toBe('unknown');
  });
});
