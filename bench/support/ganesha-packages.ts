import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { ProcessError } from './processes.js';

/** nfs-ganesha with the back end for local files, and the portmapper, without which it does not start. */
const PACKAGES = ['nfs-ganesha', 'nfs-ganesha-vfs', 'rpcbind'];

/** A download that takes longer than this is stuck. */
const FETCH_TIMEOUT_MS = 300_000;

/** Unpacks the packages `$2...`, and those that they need and the machine lacks, below the directory `$1`. */
const FETCH = `
set -eu
root=$1/root archives=$1/archives
shift
mkdir -p "$root" "$archives/partial"
export DEBIAN_FRONTEND=noninteractive
fetch() {
  apt-get install -qq --download-only --yes --no-install-recommends -o Debug::NoLocking=1 \
    -o APT::Sandbox::User=root -o Dir::Cache::archives="$archives" "$@" >/dev/null
}
fetch "$@" 2>/dev/null || { apt-get update -qq; fetch "$@"; }
for archive in "$archives"/*.deb; do dpkg-deb --extract "$archive" "$root"; done
rm -r "$archives"
`;

/** Where Ganesha's files are. */
export interface GaneshaFiles {
  readonly ganesha: string;
  readonly rpcbind: string;
  /** The directory of its back ends. */
  readonly plugins: string;
  /** Directories of the libraries that it needs, of those that are not installed. */
  readonly libraries: readonly string[];
}

/**
 * nfs-ganesha as it is installed, or else unpacked into a cache (`CALYX_TEST_CACHE`, else `calyx-tests` in the user's cache directory);
 * nothing is installed.
 *
 * @throws ProcessError that tells how to get it
 */
export function ganeshaFiles(): GaneshaFiles {
  const installed = locate('/');
  if (installed !== undefined) return installed;
  const userCache = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  const cache = process.env['CALYX_TEST_CACHE'] ?? join(userCache, 'calyx-tests');
  const key = createHash('sha256').update(FETCH).update(PACKAGES.join(' ')).digest('hex').slice(0, 12);
  const directory = join(cache, `ganesha-${key}`);
  const cached = locate(join(directory, 'root'));
  if (cached !== undefined) return cached;
  mkdirSync(cache, { recursive: true });
  const staging = mkdtempSync(`${directory}.`);
  try {
    const fetched = spawnSync('sh', ['-c', FETCH, 'fetch', staging, ...PACKAGES], {
      encoding: 'utf8',
      timeout: FETCH_TIMEOUT_MS,
    });
    if (fetched.status !== 0)
      throw missing(fetched.error?.message ?? (fetched.stderr.trim() || 'it took too long'));
    rmSync(directory, { recursive: true, force: true });
    renameSync(staging, directory);
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
  const unpacked = locate(join(directory, 'root'));
  if (unpacked === undefined) throw missing('they hold no ganesha.nfsd');
  return unpacked;
}

function missing(why: string): ProcessError {
  const packages = PACKAGES.join(' ');
  return new ProcessError(
    `nfs-ganesha is not installed, and its packages cannot be fetched: ${why}\n  install it: sudo apt-get install ${packages}`,
  );
}

function locate(root: string): GaneshaFiles | undefined {
  const find = (...paths: string[]): string | undefined =>
    paths.map((path) => join(root, path)).find((path) => existsSync(path));
  const ganesha = find('usr/bin/ganesha.nfsd');
  const rpcbind = find('sbin/rpcbind', 'usr/sbin/rpcbind');
  const plugins = find('usr/lib/x86_64-linux-gnu/ganesha', 'usr/lib/ganesha');
  if (ganesha === undefined || rpcbind === undefined || plugins === undefined) return undefined;
  const libraries = ['usr/lib/ganesha', 'usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu'];
  return {
    ganesha,
    rpcbind,
    plugins,
    libraries: libraries.map((path) => join(root, path)).filter((path) => existsSync(path)),
  };
}
