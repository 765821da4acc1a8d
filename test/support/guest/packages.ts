import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** What a guest needs beyond a minimal Debian: a kernel, a static shell for its first moments, modprobe, mount.nfs, and libnfs. */
const PACKAGES = ['user-mode-linux', 'busybox-static', 'kmod', 'nfs-common', 'libnfs-utils'] as const;

/** Changes when the way of unpacking does. */
const LAYOUT = 1;

/** A download that takes longer than this is stuck. */
const APT_TIMEOUT_MS = 300_000;

/** Where a guest's files are, on the host. */
export interface Packages {
  /** The unpacked packages that the host itself lacks, as the root of a file system. */
  readonly root: string;
  readonly kernel: string;
  readonly busybox: string;
  /** Holds a directory of modules for each kernel version. */
  readonly modules: string;
}

/**
 * The packages of a guest, from the cache or fetched with apt and unpacked into it; nothing is installed on the host. What is
 * installed there is not fetched: a guest sees the host's files too.
 * @throws Error that tells what apt or dpkg said
 */
export function unpackedPackages(): Packages {
  const directory = join(cacheDirectory(), `guest-${cacheKey()}`);
  const found = locate(directory);
  if (found !== undefined) return found;
  mkdirSync(cacheDirectory(), { recursive: true });
  const staging = mkdtempSync(`${directory}.`);
  try {
    fetchPackages(join(staging, 'archives'));
    unpack(join(staging, 'archives'), join(staging, 'root'));
    rmSync(join(staging, 'archives'), { recursive: true });
    writeFileSync(join(staging, 'complete'), '');
    // What is there was left incomplete by a package that was removed from the host since; or another test was faster.
    if (locate(directory) === undefined) {
      rmSync(directory, { recursive: true, force: true });
      renameSync(staging, directory);
    }
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
  const unpacked = locate(directory);
  if (unpacked === undefined) throw new Error(`${PACKAGES.join(', ')} hold no kernel, busybox or mount.nfs`);
  return unpacked;
}

function cacheDirectory(): string {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  return process.env['CALYX_TEST_CACHE'] ?? join(cache, 'calyx-tests');
}

function cacheKey(): string {
  const key = JSON.stringify([LAYOUT, PACKAGES]);
  return createHash('sha256').update(key).digest('hex').slice(0, 12);
}

function locate(directory: string): Packages | undefined {
  const root = join(directory, 'root');
  if (!existsSync(join(directory, 'complete'))) return undefined;
  const find = (path: string): string | undefined =>
    [join(root, path), path].find((each) => existsSync(each));
  const kernel = find('/usr/bin/linux.uml');
  const modules = find('/usr/lib/uml/modules');
  const busybox = find('/usr/bin/busybox');
  if (kernel === undefined || modules === undefined || busybox === undefined) return undefined;
  return find('/usr/sbin/mount.nfs') === undefined ? undefined : { root, kernel, modules, busybox };
}

/** Downloads the packages, and of those that they depend on the ones that are not installed. */
function fetchPackages(archives: string): void {
  mkdirSync(join(archives, 'partial'), { recursive: true });
  const options = ['-qq', '-o', `Dir::Cache::archives=${archives}`, '-o', 'APT::Sandbox::User=root'];
  const flags = ['--download-only', '--yes', '--no-install-recommends', '-o', 'Debug::NoLocking=1'];
  const download = (): string | undefined =>
    failure('apt-get', [...options, 'install', ...flags, ...PACKAGES]);
  if (download() === undefined) return;
  // The lists of packages are missing in fresh containers, or too old.
  const noLists = failure('apt-get', [...options, 'update']);
  const failed = download();
  if (failed !== undefined) throw new Error(noLists ?? failed);
}

function unpack(archives: string, root: string): void {
  mkdirSync(root);
  for (const name of readdirSync(archives).filter((each) => each.endsWith('.deb'))) {
    const failed = failure('dpkg-deb', ['--extract', join(archives, name), root]);
    if (failed !== undefined) throw new Error(failed);
  }
  // On Debian these are links to their namesakes in /usr, which directories in the upper layer would hide.
  for (const name of ['bin', 'sbin', 'lib', 'lib64'].filter((each) => existsSync(join(root, each)))) {
    cpSync(join(root, name), join(root, 'usr', name), { recursive: true, verbatimSymlinks: true });
    rmSync(join(root, name), { recursive: true });
  }
}

/** Runs a command and returns what went wrong, or undefined. */
function failure(command: string, args: readonly string[]): string | undefined {
  const ended = spawnSync(command, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: APT_TIMEOUT_MS,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  if (ended.status === 0) return undefined;
  return `${command}: ${ended.error?.message ?? (ended.stderr.trim() || `ended with ${String(ended.status)}`)}`;
}
