import { availableParallelism, release } from 'node:os';
import { gunzipSync } from 'node:zlib';
import {
  kernelAtLeast,
  type Answer,
  type ClientFacts,
  type ModuleState,
} from '../../placement/mount-advice/client-facts.js';
import type { SystemFiles } from './system-files.js';

/** Of the capabilities that a process has (linux/capability.h). */
const CAP_SYS_ADMIN = 21n;
/** A configuration has some 200 KiB. */
const MAX_CONFIG_BYTES = 4 * 2 ** 20;

/** Looks at this machine: its kernel, NFS modules, tools and rights. Mounts nothing. */
export function readClientFacts(files: SystemFiles, kernel = release()): ClientFacts {
  const config = kernelConfig(files, kernel);
  return {
    kernel,
    modules: {
      nfs: moduleState(files, kernel, config, 'nfs', 'CONFIG_NFS_FS'),
      nfsv3: moduleState(files, kernel, config, 'nfsv3', 'CONFIG_NFS_V3'),
      nfsv4: moduleState(files, kernel, config, 'nfsv4', 'CONFIG_NFS_V4'),
    },
    readPlus: configured(config, 'CONFIG_NFS_V4_2_READ_PLUS'),
    tls: {
      // The client's part came with 6.5; it needs the kernel's handshakes and TLS.
      kernel: kernelAtLeast(kernel, 6, 5) ? both(config, 'CONFIG_NET_HANDSHAKE', 'CONFIG_TLS') : 'no',
      tlshd: somewhere(files, 'tlshd'),
    },
    mountHelper: somewhere(files, 'mount.nfs'),
    mayMount: hasCapability(files, CAP_SYS_ADMIN),
    cores: availableParallelism(),
    readAheadKb: undefined,
  };
}

function somewhere(files: SystemFiles, program: string): boolean {
  return ['/usr/sbin', '/sbin', '/usr/bin', '/bin'].some((directory) =>
    files.exists(`${directory}/${program}`),
  );
}

function moduleState(
  files: SystemFiles,
  kernel: string,
  config: string | undefined,
  name: string,
  option: string,
): ModuleState {
  const loaded = files.text('/proc/modules')?.split('\n') ?? [];
  if (loaded.some((line) => line.startsWith(`${name} `))) return 'loaded';
  const own = new RegExp(`/${name}\\.ko(\\.\\w+)?(:|$)`, 'm');
  const directory = `/lib/modules/${kernel}`;
  if (own.test(files.text(`${directory}/modules.builtin`) ?? '')) return 'built-in';
  const listed = files.text(`${directory}/modules.dep`);
  if (listed !== undefined && own.test(listed)) return 'loadable';
  if (new RegExp(`^${option}=y$`, 'm').test(config ?? '')) return 'built-in';
  // Registered by nfs itself, built in or loaded under a root that shows no modules.
  if (name === 'nfs' && /\tnfs$/m.test(files.text('/proc/filesystems') ?? '')) return 'loaded';
  if (listed !== undefined || (config !== undefined && configured(config, option) === 'no')) return 'missing';
  return 'unknown';
}

/** The configuration that the kernel was built with, where it is told. */
function kernelConfig(files: SystemFiles, kernel: string): string | undefined {
  const packed = files.bytes('/proc/config.gz');
  if (packed !== undefined) {
    try {
      return gunzipSync(packed, { maxOutputLength: MAX_CONFIG_BYTES }).toString('utf8');
    } catch {
      // As if it were not there.
    }
  }
  return files.text(`/boot/config-${kernel}`) ?? files.text(`/lib/modules/${kernel}/config`);
}

function configured(config: string | undefined, option: string): Answer {
  if (config === undefined) return 'unknown';
  return new RegExp(`^${option}=[ym]$`, 'm').test(config) ? 'yes' : 'no';
}

function both(config: string | undefined, ...options: string[]): Answer {
  const answers = options.map((option) => configured(config, option));
  return answers.find((answer) => answer !== 'yes') ?? 'yes';
}

function hasCapability(files: SystemFiles, capability: bigint): boolean {
  const effective = /^CapEff:\s*([\da-f]+)$/m.exec(files.text('/proc/self/status') ?? '')?.[1];
  return effective !== undefined && (BigInt(`0x${effective}`) & (1n << capability)) !== 0n;
}
