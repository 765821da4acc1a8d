import { once } from 'node:events';
import type { SpawnOptions } from 'node:child_process';
import { mkdtempSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { start, type Running } from '../cli.js';

/** The address of the host's end, where guests find servers under test. */
export const HOST_ADDRESS = '10.97.0.1';

/** Past this, a network is not going to be made, or its processes are not going to end. */
const DEADLINE_MS = 10_000;

// Lives as long as its standard input, which ends with the process that made it; then kills what is left in the network, and
// removes its directory. A terminal's interrupt goes to it as well.
const HOLD = `
trap '' INT TERM HUP
echo
cat
for each in /proc/[0-9]*; do
  test "$each" = "/proc/$$" || test ! "$each/ns/net" -ef "/proc/$$/ns/net" || kill -KILL "\${each#/proc/}"
done
rm -rf -- "$1"`;

/** Where a guest is plugged in. */
export interface Port {
  readonly tap: string;
  readonly address: string;
}

/**
 * A network of its own: the host's end on a bridge, and a port for each guest. It belongs to a process and vanishes with it, so
 * nothing is left behind by a test that is killed, and names and addresses are the same in every test.
 */
export class GuestNetwork {
  /** A directory for what the guests and servers of this network need; it is removed with the network. */
  readonly directory: string;
  readonly #holder: Running;
  readonly #free: Port[] = [];
  readonly #running = new Set<Running>();

  private constructor() {
    this.directory = mkdtempSync(join(realpathSync(tmpdir()), 'calyx-guests-'));
    const hold = ['--net', 'sh', '-c', HOLD, 'sh', this.directory];
    this.#holder = start('unshare', hold, { stdio: ['pipe', 'pipe', 'pipe'], timeout: 0 });
  }

  /** Makes a network with ports for so many guests. */
  static async create(guests: number): Promise<GuestNetwork> {
    const network = new GuestNetwork();
    try {
      const { child, ended } = network.#holder;
      const signal = AbortSignal.timeout(DEADLINE_MS);
      await Promise.race([once(child.stdout ?? child, 'data', { signal }), ended.then(failed)]);
      await network.#configure(guests);
    } catch (error) {
      await network.close();
      throw error;
    }
    return network;
  }

  async #configure(guests: number): Promise<void> {
    const commands = [
      'ip link set lo up',
      'ip link add bridge type bridge',
      `ip address add ${HOST_ADDRESS}/24 dev bridge`,
      'ip link set bridge up',
    ];
    for (let index = 0; index < guests; index += 1) {
      const tap = `tap${String(index)}`;
      this.#free.push({ tap, address: `10.97.0.${String(index + 2)}` });
      commands.push(`ip tuntap add dev ${tap} mode tap vnet_hdr`, `ip link set ${tap} master bridge up`);
    }
    await this.start('sh', ['-ec', commands.join('\n')]).ended.then(failed);
  }

  /** The command line that runs a command on the host's end. Its process is the command's own, and dies with the caller. */
  command(file: string, args: readonly string[]): [string, string[]] {
    const network = `--net=/proc/${String(this.#holder.child.pid)}/ns/net`;
    return ['setpriv', ['--pdeathsig', 'KILL', 'nsenter', network, file, ...args]];
  }

  /** Starts a program on the host's end: a server under test, or a client. It is killed when the network is closed. */
  start(file: string, args: readonly string[], options: SpawnOptions = {}): Running {
    const running = start(...this.command(file, args), options);
    this.#running.add(running);
    const forget = (): boolean => this.#running.delete(running);
    running.ended.then(forget, forget);
    return running;
  }

  /** Takes a free port; to be given back with `release`. */
  take(): Port {
    const port = this.#free.shift();
    if (port === undefined) throw new Error('no port is free; create the network for more guests');
    return port;
  }

  release(port: Port): void {
    this.#free.unshift(port);
  }

  /** Kills everything that runs in the network, and with the last of it the network goes. */
  async close(): Promise<void> {
    for (const { child } of this.#running) child.kill('SIGKILL');
    // Kills their children too, which may keep their pipes open.
    this.#holder.child.stdin?.end();
    const timer = setTimeout(() => this.#holder.child.kill('SIGKILL'), DEADLINE_MS);
    await Promise.allSettled([this.#holder, ...this.#running].map(({ ended }) => ended));
    clearTimeout(timer);
  }
}

/** A network with ports for so many guests. Close it when the test ends: that kills all guests and servers in it. */
export function createNetwork(options: { readonly guests: number }): Promise<GuestNetwork> {
  return GuestNetwork.create(options.guests);
}

function failed({ code, stderr }: { code: number | null; stderr: string }): void {
  if (code !== 0) throw new Error(`no network for guests: ${stderr}`);
}
