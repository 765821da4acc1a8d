import { describe, expect, it } from 'vitest';
import { mountCommands, mountSource } from './mount-commands.js';

describe('mount commands', () => {
  it('are exact for every version', () => {
    expect(mountCommands({ host: 'store', port: 2050 })).toEqual([
      'mount -t nfs -o ro,vers=3,proto=tcp,port=2050,mountport=2050,nolock,hard,timeo=100,rsize=1048576,nocto,acregmin=3600,acregmax=3600,acdirmin=1,acdirmax=1 store:/ /mnt/calyx',
      'mount -t nfs -o ro,vers=4.1,proto=tcp,port=2050,hard,timeo=100,rsize=1048576,nocto,acregmin=3600,acregmax=3600,acdirmin=1,acdirmax=1 store:/ /mnt/calyx',
      'mount -t nfs -o ro,vers=4.2,proto=tcp,port=2050,hard,timeo=100,rsize=1048576,nocto,acregmin=3600,acregmax=3600,acdirmin=1,acdirmax=1 store:/ /mnt/calyx',
    ]);
  });

  it('ask for TLS where the store wants it', () => {
    const commands = mountCommands({ host: 'store', port: 2049, versions: ['3', '4.2'], security: 'mtls' });
    expect(commands).toEqual([
      'mount -t nfs -o ro,vers=3,proto=tcp,port=2049,mountport=2049,nolock,xprtsec=mtls,hard,timeo=100,rsize=1048576,nocto,acregmin=3600,acregmax=3600,acdirmin=1,acdirmax=1 store:/ /mnt/calyx',
      'mount -t nfs -o ro,vers=4.2,proto=tcp,port=2049,xprtsec=mtls,hard,timeo=100,rsize=1048576,nocto,acregmin=3600,acregmax=3600,acdirmin=1,acdirmax=1 store:/ /mnt/calyx',
    ]);
  });

  it('quote for the shell, and put IPv6 addresses in brackets', () => {
    expect(mountSource('fd00::1', '/')).toBe('[fd00::1]:/');
    const [command] = mountCommands({
      host: 'fd00::1',
      port: 2049,
      versions: ['4.2'],
      path: "/models/o/it's",
      mountPoint: '/mnt/my models',
    });
    expect(command).toMatch(/ '\[fd00::1\]:\/models\/o\/it'\\''s' '\/mnt\/my models'$/);
  });
});
