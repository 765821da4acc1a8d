import type { NfsVersion } from './client-facts.js';

/** How RPC-with-TLS (RFC 9289) protects a mount: `tls` knows the store, with `mtls` the store knows the client too. */
export type MountSecurity = 'tls' | 'mtls';

/** What options depend on. */
export interface MountTarget {
  readonly version: NfsVersion;
  /** TCP port of the store. */
  readonly port: number;
  /** TCP connections; 1 needs no option. @default 1 */
  readonly connections?: number;
  /** @default no TLS */
  readonly security?: MountSecurity | undefined;
}

/** An option of mount(8), or several that belong together, and why it is there. */
export interface MountOption {
  readonly option: string;
  readonly why: string;
}

/** The largest READ that Calyx answers, and the largest that Linux sends. */
export const READ_BYTES = 1_048_576;

/** The options that we recommend, in the order in which they are written. See nfs(5) for each. */
export function mountOptions({ version, port, connections = 1, security }: MountTarget): MountOption[] {
  const options: MountOption[] = [
    { option: 'ro', why: 'published content never changes; every write would be refused' },
    { option: `vers=${version}`, why: 'the version alone, without attempts at others' },
    { option: 'proto=tcp', why: 'the store speaks TCP only; without it a version 3 mount asks by UDP first' },
    { option: `port=${port}`, why: 'where the store listens; without it the client asks a portmapper' },
  ];
  if (version === '3')
    options.push(
      {
        option: `mountport=${port}`,
        why: 'the MOUNT protocol is on the same port; without it mounting hangs',
      },
      { option: 'nolock', why: 'nothing is ever locked; without it the client wants rpc.statd' },
    );
  if (security !== undefined)
    options.push({
      option: `xprtsec=${security}`,
      why:
        security === 'tls'
          ? 'everything goes through TLS; needs Linux 6.5 and tlshd, which trusts the certificate of the cluster'
          : 'everything goes through TLS, and tlshd shows the certificate of this machine; needs Linux 6.5',
    });
  options.push(
    {
      option: 'hard',
      why: 'a read waits while the store restarts or another takes its place; with soft it would fail halfway through a model',
    },
    {
      option: 'timeo=100',
      why: 'a store that vanished without a word (power, cable) is noticed after 10 s instead of 60 s',
    },
    {
      option: `rsize=${READ_BYTES}`,
      why: 'reads of 1 MiB, whatever /etc/nfsmount.conf says',
    },
  );
  if (connections > 1)
    options.push({ option: `nconnect=${connections}`, why: 'several TCP connections for one mount' });
  options.push(
    { option: 'nocto', why: 'files never change, so nothing needs to be asked again when one is opened' },
    {
      option: 'acregmin=3600,acregmax=3600',
      why: 'attributes of files never change',
    },
    {
      option: 'acdirmin=1,acdirmax=1',
      why: 'directories do change (a new revision, a moved ref): seen within a second',
    },
  );
  return options;
}

/** The options as mount(8) and fstab(5) take them. */
export function optionString(options: readonly MountOption[]): string {
  return options.map(({ option }) => option).join(',');
}
