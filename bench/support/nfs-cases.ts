import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Guest } from '../../test/support/guest/guest.js';
import { HOST_ADDRESS, type GuestNetwork } from '../../test/support/guest/network.js';
import { unpackedPackages } from '../../test/support/guest/packages.js';
import type { NfsServer } from './nfs-servers.js';
import { ProcessError } from './processes.js';

/** What is read, and by what names. */
export interface NfsFiles {
  /** The big file. */
  readonly file: string;
  readonly bytes: number;
  /** The directory with many files, and how many. */
  readonly directory: string;
  readonly entries: number;
}

/** Where a case runs. */
export interface NfsClients {
  readonly network: GuestNetwork;
  readonly guest: Guest;
}

/** One thing that a client does, and how long it takes. */
export interface NfsCase {
  readonly name: string;
  /** Bytes that are read; undefined if it is about names and attributes. */
  readonly bytes: number | undefined;
  /** The servers that can do it. */
  readonly servers: readonly NfsServer['name'][];
  /** Does it once, on a fresh mount. Seconds of what is measured, without mounting and starting. */
  readonly run: (server: NfsServer, clients: NfsClients) => Promise<number>;
}

const BOTH = ['calyx', 'ganesha'] as const;
const MIB = 1024 * 1024;
/** Faults are slow: a part of the file is enough. */
const MAPPED_BYTES = 128 * MIB;
const JOB_TIMEOUT_MS = 300_000;

/** All that is measured. */
export function nfsCases(files: NfsFiles): NfsCase[] {
  const { file, bytes, directory, entries } = files;
  // The programs have been read before they are timed: those of a guest are files of the host.
  const buffered = timed('dd --version', `dd if=${file} of=/dev/null bs=1M status=none`);
  const direct = timed('dd --version', `dd if=${file} of=/dev/null bs=1M iflag=direct status=none`);
  const list = timed('ls --version', `ls -lR ${directory} | tail -n 1`);
  // Without a listing before: one LOOKUP after the other.
  const stat = `
names=$(seq -f '${directory}/${MANY_FORMAT}' 1 ${entries})
${timed('stat --version', 'stat --format=%s $names')}`;
  const mapped = Math.min(MAPPED_BYTES, bytes);
  const part = `mapped, ${mapped / MIB} MiB`;
  return [
    guestCase('3', 'buffered', bytes, buffered),
    guestCase('3', 'O_DIRECT', bytes, direct),
    guestCase('4.1', 'buffered', bytes, buffered),
    guestCase('4.1', 'O_DIRECT', bytes, direct),
    // Ganesha 4.3 answers READ_PLUS, which Linux may ask with 4.2, with wrong data.
    guestCase('4.2', 'buffered', bytes, buffered, ['calyx']),
    guestCase('4.2', 'O_DIRECT', bytes, direct, ['calyx']),
    { name: 'v3 nfs-cat', bytes, servers: BOTH, run: (server, clients) => nfsCat(file, server, clients) },
    guestCase('3', part, mapped, mapping(file, mapped)),
    guestCase('4.1', part, mapped, mapping(file, mapped)),
    guestCase('3', `ls -lR, ${entries} files`, undefined, list),
    guestCase('4.1', `ls -lR, ${entries} files`, undefined, list),
    guestCase('3', `stat, ${entries} files`, undefined, stat),
    guestCase('4.1', `stat, ${entries} files`, undefined, stat),
  ];
}

/** As seq(1) has it. */
const MANY_FORMAT = 'file-%05.0f.txt';

/** The name of one of the many files, from 1. */
export function manyName(index: number): string {
  return `file-${String(index).padStart(5, '0')}.txt`;
}

/** The SHA-256 of a file as a guest reads it, to be sure that all measure the same. */
export async function sha256InGuest(
  version: string,
  file: string,
  server: NfsServer,
  guest: Guest,
): Promise<string> {
  const script = `${mount(version, server)}\nsha256sum <${file}`;
  return (await guest.sh(script, { timeoutMs: JOB_TIMEOUT_MS })).slice(0, 64);
}

function guestCase(
  version: string,
  name: string,
  bytes: number | undefined,
  script: string,
  servers: readonly NfsServer['name'][] = BOTH,
): NfsCase {
  const run = async (server: NfsServer, { guest }: NfsClients): Promise<number> => {
    const output = await guest.sh(`${mount(version, server)}\n${script}`, { timeoutMs: JOB_TIMEOUT_MS });
    const micros = Number(/^micros (\d+)$/m.exec(output)?.[1]);
    if (!(micros > 0)) throw new ProcessError(`a guest told no time: ${output}`);
    return micros / 1e6;
  };
  return { name: `v${version} ${name}`, bytes, servers, run };
}

/** Mounts, goes there, and unmounts at the end, which empties the guest's cache. */
function mount(version: string, { port, mountPort, path }: NfsServer): string {
  const options = [`vers=${version},proto=tcp,port=${port},ro`];
  if (version === '3') options.push(`mountport=${mountPort},nolock`);
  return `
mkdir -p /run/bench
mount -t nfs -o ${options.join()} ${HOST_ADDRESS}:${path} /run/bench
trap 'cd /; umount /run/bench' EXIT
cd /run/bench`;
}

function timed(prepare: string, command: string): string {
  return `
${prepare} >/dev/null
begin=\${EPOCHREALTIME/./}
${command} >/dev/null
echo "micros $((\${EPOCHREALTIME/./} - begin))"`;
}

/** Reads through a mapping from its begin to its end, with the readahead that the mount comes with. */
function mapping(file: string, bytes: number): string {
  return `
python3 -c '
import mmap, time
with open("${file}", "rb") as file: mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
begin = time.monotonic()
for at in range(0, ${bytes}, ${MIB}): mapped[at:at + ${MIB}]
print("micros", int(1e6 * (time.monotonic() - begin)))'`;
}

/** libnfs, on the host: over the loopback of the network. */
async function nfsCat(file: string, server: NfsServer, { network }: NfsClients): Promise<number> {
  const { root } = unpackedPackages();
  const unpacked = join(root, 'usr/bin/nfs-cat');
  const program = existsSync(unpacked) ? unpacked : 'nfs-cat';
  const query = `version=3&nfsport=${server.port}&mountport=${server.mountPort}`;
  const begin = performance.now();
  const running = network.start(program, [`nfs://${HOST_ADDRESS}${server.path}/${file}?${query}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, LD_LIBRARY_PATH: join(root, 'usr/lib/x86_64-linux-gnu') },
  });
  const { code, stderr } = await running.ended;
  if (code !== 0) throw new ProcessError(`nfs-cat of ${server.name} ended with ${String(code)}: ${stderr}`);
  return (performance.now() - begin) / 1000;
}
