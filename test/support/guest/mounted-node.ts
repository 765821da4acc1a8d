import { join } from 'node:path';
import { ROOT } from '../directories.js';
import type { Guest } from './guest.js';
import { calyxIn } from './mounted-store.js';
import { HOST_ADDRESS, type GuestNetwork } from './network.js';

const ENTRY = join(ROOT, 'bin/calyx.mjs');
const STORE_PORT = 7070;

/** Where guests find the HTTP side of a store that was started with {@link STORE_ARGS}. */
export const STORE_URL = `http://${HOST_ADDRESS}:${String(STORE_PORT)}`;

/** What makes a store serve guests by NFS and HTTP. */
export const STORE_ARGS: readonly string[] = [
  ...['--allow', `${HOST_ADDRESS}/24`],
  ...['--listen', `${HOST_ADDRESS}:${String(STORE_PORT)}`, '--insecure'],
];

/** Node.js loads its own modules and the runtime from the host, slowly while others use the machine. */
const START_TIMEOUT_MS = 120_000;

/** Starts a node on a slice in a guest and waits until it listens; it ends with the guest. Returns its events. */
export function startMountedNode(
  guest: Guest,
  name: string,
  slice: string,
): Promise<readonly Record<string, unknown>[]> {
  const listen = `--listen ${guest.address}:0 --insecure`;
  return startNode(guest, name, `node ${ENTRY} node --slice '${slice}' --store ${STORE_URL} ${listen}`);
}

/** Starts a node by a command, to which its name is added, and waits until it listens; it ends with the guest. Returns its events. */
export async function startNode(
  guest: Guest,
  name: string,
  command: string,
): Promise<readonly Record<string, unknown>[]> {
  const [out, err] = [join(guest.directory, `${name}.out`), join(guest.directory, `${name}.err`)];
  const events = await guest.sh(
    `${command} --name ${name} --json >${out} 2>${err} & pid=$!
    until grep -q '"listening"' ${out}; do
      kill -0 $pid || { cat ${err} >&2; exit 1; }
      busybox usleep 50000
    done
    cat ${out}`,
    { timeoutMs: START_TIMEOUT_MS },
  );
  return events
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Runs `calyx run ... --json` on the host's end. */
export async function runOnHost(
  network: GuestNetwork,
  ...args: readonly string[]
): Promise<Record<string, unknown>> {
  const ended = await calyxIn(network, ['run', ...args, '--store', STORE_URL, '--json']).ended;
  if (ended.code !== 0) throw new Error(`calyx run ${args.join(' ')} ended with ${JSON.stringify(ended)}`);
  return JSON.parse(ended.stdout) as Record<string, unknown>;
}

/** The value of a metric of the store, asked on the host's end. */
export async function storeMetric(network: GuestNetwork, name: string): Promise<number> {
  const ask = `fetch('${STORE_URL}/metrics').then((got) => got.text()).then(console.log)`;
  const { stdout, stderr } = await network.start(process.execPath, ['-e', ask]).ended;
  const value = new RegExp(`^${name} (\\S+)$`, 'm').exec(stdout)?.[1];
  if (value === undefined) throw new Error(`there is no metric ${name}: ${stderr}`);
  return Number(value);
}

/** Bytes in all file systems that a guest can write without telling the host: its disk and its temporary files. */
export async function bytesWritten(guest: Guest): Promise<number> {
  const used = await guest.sh('sync; df --block-size=1 --output=used -t overlay -t tmpfs | tail -n +2');
  return used
    .trim()
    .split('\n')
    .reduce((sum, line) => sum + Number(line), 0);
}
