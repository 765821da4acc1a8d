/** Versions of NFS that Calyx serves, the one that is preferred among equals first. */
export const NFS_VERSIONS = ['4.2', '4.1', '3'] as const;

export type NfsVersion = (typeof NFS_VERSIONS)[number];

/** Something that could be asked, or could not. */
export type Answer = 'yes' | 'no' | 'unknown';

/** Where the code of a kernel module is. */
export type ModuleState = 'loaded' | 'built-in' | 'loadable' | 'missing' | 'unknown';

/** What a client machine is able to do. */
export interface ClientFacts {
  /** As `uname -r` says it. */
  readonly kernel: string;
  readonly modules: Readonly<Record<'nfs' | 'nfsv3' | 'nfsv4', ModuleState>>;
  /** Whether the kernel reads with READ_PLUS on 4.2 (CONFIG_NFS_V4_2_READ_PLUS). */
  readonly readPlus: Answer;
  /** Whether RPC-with-TLS (RFC 9289) could be used: the kernel's part, and the daemon that shakes hands for it. */
  readonly tls: { readonly kernel: Answer; readonly tlshd: boolean };
  /** Whether mount.nfs (Debian: nfs-common) is there; mount(2) works without it. */
  readonly mountHelper: boolean;
  /** Whether this process may mount: CAP_SYS_ADMIN, and a mount namespace of its own could be made or is not needed. */
  readonly mayMount: boolean;
  readonly cores: number;
  /** What new mounts read ahead unless told otherwise. */
  readonly readAheadKb: number | undefined;
}

/** The way from a client to a store. */
export interface LinkFacts {
  /** Address that the name of the store means here. */
  readonly address: string;
  /** Our own address on this way. */
  readonly localAddress: string;
  readonly interface: string | undefined;
  readonly loopback: boolean;
  /** Megabits per second as the driver says; virtual cards do not know theirs. */
  readonly speedMbit: number | undefined;
  readonly mtu: number | undefined;
  /** Median of TCP connects, milliseconds. */
  readonly connectMs: number;
  /** Median round trip of an empty call, milliseconds. */
  readonly roundTripMs: number;
}

/** What a store answers. */
export interface StoreFacts {
  readonly versions: Readonly<Record<NfsVersion, Answer>>;
  /** Whether it serves only callers with a source port below 1024. */
  readonly privilegedPorts: Answer;
  /** Whether it offers RPC-with-TLS (RFC 9289), and whether it answers nothing without. */
  readonly tls: 'no' | 'offered' | 'required';
}

/** What can be said against RPC-with-TLS on a machine; undefined for nothing. */
export function tlsObstacle({ kernel, tls }: ClientFacts): string | undefined {
  if (tls.kernel === 'no')
    return `this kernel (${kernel}) has no RPC-with-TLS; it came with Linux 6.5, with CONFIG_NET_HANDSHAKE and CONFIG_TLS`;
  return tls.tlshd
    ? undefined
    : 'tlshd, which shakes hands for the kernel, is not installed: install ktls-utils';
}

/** Whether the kernel of these facts could mount a version; unknown counts as yes, because the attempt tells. */
export function canMount(facts: ClientFacts, version: NfsVersion): boolean {
  const module = version === '3' ? facts.modules.nfsv3 : facts.modules.nfsv4;
  return facts.modules.nfs !== 'missing' && module !== 'missing';
}

/** Whether a kernel release such as `6.1.0-18-amd64` is at least `major.minor`; an unreadable one is not. */
export function kernelAtLeast(release: string, major: number, minor: number): boolean {
  const match = /^(\d+)\.(\d+)/.exec(release);
  if (match === null) return false;
  const [ownMajor, ownMinor] = [Number(match[1]), Number(match[2])];
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}
