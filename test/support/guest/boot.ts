import { copyFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cleanEnvironment, type Running } from '../cli.js';
import { ROOT } from '../directories.js';
import { memoryDirectory } from './memory-directory.js';
import type { GuestNetwork, Port } from './network.js';
import { unpackedPackages, type GuestKernel } from './packages.js';

const SCRIPTS = join(ROOT, 'test/support/guest');
const MIB = 1024 * 1024;

/** Where a guest boots. */
export interface Machine {
  readonly network: GuestNetwork;
  readonly port: Port;
  /** The job directory: no spaces in its path. */
  readonly directory: string;
  readonly memoryMib: number;
  readonly kernel: GuestKernel | undefined;
}

/**
 * Starts the kernel of a guest; its console is the process's standard input and output. It runs in a process namespace of its
 * own that dies with the process, so that none of the processes it is made of is left.
 */
export function boot({ network, port, directory, memoryMib, kernel: wanted }: Machine): Running {
  const packages = unpackedPackages(wanted);
  const settings = {
    packages: packages.root,
    modules: packages.modules,
    address: port.address,
    name: `guest-${port.tap}`,
    // The very python and node that run on the host.
    path: `${process.env['PATH'] ?? '/usr/bin:/bin'}:${dirname(process.execPath)}:/usr/sbin:/sbin`,
  };
  const lines = Object.entries(settings).map(
    ([name, value]) => `${name}='${value.replaceAll("'", "'\\''")}'\n`,
  );
  writeFileSync(join(directory, 'settings.sh'), lines.join(''));
  symlinkSync(packages.busybox, join(directory, 'busybox'));
  for (const script of ['boot.sh', 'serve.sh']) copyFileSync(join(SCRIPTS, script), join(directory, script));
  const kernel = [
    packages.kernel,
    `mem=${String(memoryMib)}M`,
    ...['root=/dev/root', 'rootfstype=hostfs', 'rootflags=/', 'ro', 'quiet', 'lsm='],
    `vec0:transport=tap,ifname=${port.tap},depth=128,gro=1`,
    // Where it keeps a socket of its own; else in the user's home. And no old terminals, which take 0.4 s to make.
    ...[`uml_dir=${directory}/`, 'pty.legacy_count=0'],
    ...['con=null', 'con0=fd:0,fd:1', 'ssl=null'],
    ...[`init=${directory}/busybox`, '--', 'sh', `${directory}/boot.sh`, directory],
  ];
  // Not the first process of its namespace, which signals that it sends to itself, as after a panic, would not end.
  const shell = ['sh', '-c', 'ulimit -c 0; "$@"; exit', 'sh'];
  const isolated = ['--pid', '--fork', '--kill-child', '--mount-proc', ...shell, ...kernel];
  return network.start('unshare', isolated, {
    env: cleanEnvironment({ TMPDIR: memoryDirectory(memoryMib * MIB) }),
    stdio: ['pipe', 'pipe', 'pipe'],
    killSignal: 'SIGKILL',
  });
}
