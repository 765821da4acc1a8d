import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { ROOT } from '../directories.js';

/** What a guest needs beyond a minimal Debian: a kernel, a static shell for its first moments, modprobe, mount.nfs, and libnfs. */
const PACKAGES = ['user-mode-linux', 'busybox-static', 'kmod', 'nfs-common', 'libnfs-utils'];

/** Another kernel than that of the host's Debian. Only its guests can have NFS over TLS. */
export type GuestKernel = '6.12';

/** The kernels that can be asked for, and the release of Debian that has them. */
const RELEASES = new Map<string | undefined, string>([
  [undefined, ''],
  ['6.12', 'trixie'],
]);

/** Those of their files that a guest cannot do without. */
const FILES = {
  kernel: '/usr/bin/linux.uml',
  modules: '/usr/lib/uml/modules',
  busybox: '/usr/bin/busybox',
  kmod: '/usr/bin/kmod',
  mount: '/usr/sbin/mount.nfs',
};

const SCRIPTS = ['fetch-packages.sh', 'fetch-kernel.sh'].map((name) =>
  join(ROOT, 'test/support/guest', name),
);

/** A download of 45 MB that takes longer than this is stuck. */
const FETCH_TIMEOUT_MS = 300_000;

/** Where a guest's files are, on the host. */
export interface Packages {
  /** The unpacked packages that the host itself lacks, as the root of a file system. */
  readonly root: string;
  readonly kernel: string;
  readonly busybox: string;
  /** Holds a directory of modules for each version of the kernel. */
  readonly modules: string;
  /** The root of packages of the kernel's own release, which run with the libraries there only. It exists for 6.12. */
  readonly newer: string;
}

/**
 * The packages of a guest, from the cache or fetched with apt and unpacked into it; nothing is installed on the host. What is
 * installed there is not fetched, because a guest sees the host's files too. The cache is `CALYX_TEST_CACHE`, else `calyx-tests`
 * in the user's cache directory. `CALYX_GUEST_KERNEL=6.12` asks for that kernel wherever a test asks for none, instead of the one
 * that the host's Debian has.
 * @throws Error that tells what went wrong
 */
export function unpackedPackages(kernel?: GuestKernel): Packages {
  const cache = resolve(process.env['CALYX_TEST_CACHE'] ?? join(userCache(), 'calyx-tests'));
  // What the host has installed is part of the key, because it is not fetched.
  const wanted = kernel ?? process.env['CALYX_GUEST_KERNEL'];
  const release = RELEASES.get(wanted);
  if (release === undefined)
    throw new Error(`CALYX_GUEST_KERNEL can be 6.12 or unset, not ${String(wanted)}`);
  const packages = release === '' ? PACKAGES : [...PACKAGES, 'patchelf'];
  const key = createHash('sha256').update([release, ...packages].join(' '));
  for (const script of SCRIPTS) key.update(readFileSync(script));
  for (const path of Object.values(FILES)) key.update(`${path} ${String(existsSync(path))}`);
  const directory = join(cache, `guest-${key.digest('hex').slice(0, 12)}`);
  const cached = locate(directory);
  if (cached !== undefined) return cached;
  mkdirSync(cache, { recursive: true });
  const fetch = ['sh', SCRIPTS[0] ?? '', directory, release, ...packages];
  const fetched = spawnSync('flock', [`${directory}.lock`, ...fetch], {
    encoding: 'utf8',
    timeout: FETCH_TIMEOUT_MS,
  });
  const found = locate(directory);
  if (fetched.status === 0 && found !== undefined) return found;
  const said = fetched.error?.message ?? fetched.stderr.trim();
  throw new Error(
    `cannot fetch ${packages.join(', ')} with apt-get: ${said || 'they hold no kernel or mount.nfs'}`,
  );
}

function userCache(): string {
  return process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
}

function locate(directory: string): Packages | undefined {
  if (!existsSync(join(directory, 'complete'))) return undefined;
  const root = join(directory, 'root');
  const found = Object.entries(FILES).map(([name, path]) => [
    name,
    [join(root, path), path].find((each) => existsSync(each)),
  ]);
  if (found.some(([, path]) => path === undefined)) return undefined;
  return {
    root,
    newer: join(directory, 'newer'),
    ...(Object.fromEntries(found) as Record<keyof typeof FILES, string>),
  };
}
