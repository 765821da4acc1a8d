import { spawnSync } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { cleanEnvironment, type Ended, type Running } from '../cli.js';
import { ROOT } from '../directories.js';
import type { Guest } from './guest.js';
import { memoryDirectory } from './memory-directory.js';
import { HOST_ADDRESS, type GuestNetwork } from './network.js';

const ENTRY = join(ROOT, 'bin/calyx.mjs');
/** Where a store that guests can mount serves NFS. */
export const NFS_PORT = 2049;

/** The versions of NFS that a store serves. */
export const NFS_VERSIONS = ['3', '4.1', '4.2'] as const;
export type NfsVersion = (typeof NFS_VERSIONS)[number];

/** What is recommended for clients of a store: content never changes, but names do. */
export const RECOMMENDED = 'ro,nocto,acregmin=3600,acregmax=3600,acdirmin=1,acdirmax=1';

/** A `calyx store` on the host's end of a network. */
export interface GuestStore {
  /** Where it serves HTTP, in the network. */
  readonly url: string;
  /** Ends it and waits until it has ended. @default SIGKILL */
  kill(signal?: NodeJS.Signals): Promise<Ended>;
  /** Stops it from running, as a machine that hangs. */
  freeze(): void;
  thaw(): void;
}

/** Starts a store that guests can mount at 10.97.0.1, and waits until it listens; `args` say who may mount. */
export async function startGuestStore(
  network: GuestNetwork,
  data: string,
  args: readonly string[] = ['--allow', '10.97.0.0/24'],
): Promise<GuestStore> {
  const running = calyxIn(network, [
    ...['store', '--data', data, '--listen', '127.0.0.1:0', '--json'],
    ...['--nfs', `${HOST_ADDRESS}:${String(NFS_PORT)}`, ...args],
  ]);
  const { url } = await new Promise<{ url: string }>((resolve, reject) => {
    let text = '';
    running.child.stdout?.on('data', (piece: string) => {
      text += piece;
      if (text.includes('\n')) resolve(JSON.parse(text) as { url: string });
    });
    running.ended.then(
      (ended) => reject(new Error(`the store did not start: ${JSON.stringify(ended)}`)),
      reject,
    );
  });
  return {
    url,
    kill: (signal = 'SIGKILL') => {
      running.child.kill(signal);
      return running.ended;
    },
    freeze: () => void running.child.kill('SIGSTOP'),
    thaw: () => void running.child.kill('SIGCONT'),
  };
}

/** Starts the command line on the host's end of a network. */
export function calyxIn(
  network: GuestNetwork,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Running {
  return network.start(process.execPath, [ENTRY, ...args], { env: cleanEnvironment(env) });
}

/** How and where a store is mounted. */
export interface MountOptions {
  /** Added to what the version needs. @default none: read-write, as `mount` does without options */
  readonly options?: string;
  /** @default /mnt/VERSION */
  readonly at?: string;
  /** @default 2049 */
  readonly port?: number;
}

/** Where `mount` puts a version. */
export function mountPoint(version: NfsVersion): string {
  return `/mnt/${version}`;
}

/** The command that mounts the store in a guest. */
export function mountCommand(
  version: NfsVersion,
  { options, at = mountPoint(version), port = NFS_PORT }: MountOptions = {},
): string {
  const needed = version === '3' ? `mountport=${String(port)},nolock,` : '';
  const all = `vers=${version},proto=tcp,port=${String(port)},${needed}${options ?? 'rw'}`;
  return `mkdir -p ${at} && mount -t nfs -o ${all} ${HOST_ADDRESS}:/ ${at}`;
}

/** Mounts the store in a guest and returns where. */
export async function mount(guest: Guest, version: NfsVersion, options: MountOptions = {}): Promise<string> {
  await guest.sh(mountCommand(version, options));
  return options.at ?? mountPoint(version);
}

/** Python itself: starting a version manager's script in its place takes a guest seconds. */
const PYTHON = spawnSync('python3', ['-c', 'import sys; print(sys.executable)'], {
  encoding: 'utf8',
}).stdout.trim();

/** The command that runs a script of `test/python` in a guest. */
export function pythonScript(name: string, ...args: readonly string[]): string {
  return pythonCommand(join(ROOT, 'test/python', name), ...args);
}

/** The command that runs Python, without site packages, in a guest. */
export function pythonCommand(...args: readonly string[]): string {
  return [PYTHON, '-IS', ...args].map((arg) => `'${arg.replaceAll("'", "'\\''")}'`).join(' ');
}

/** An empty directory in memory, if it is large enough, for all tests of a file; to be called at the top of the file. */
export function suiteMemoryDirectory(bytes: number): string {
  const path = mkdtempSync(join(realpathSync(memoryDirectory(bytes)), 'calyx-test-'));
  afterAll(() => rmSync(path, { recursive: true, force: true, maxRetries: 3 }));
  return path;
}
