import { once } from 'node:events';
import type { SpawnOptions } from 'node:child_process';
import { start, type Running } from '../cli.js';

/** The address of the host's end, where guests find servers under test. */
export const HOST_ADDRESS = '10.97.0.1';

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
  readonly #holder: Running;
  readonly #free: Port[] = [];
  readonly #running = new Set<Running>();

  private constructor(holder: Running) {
    this.#holder = holder;
  }

  /** Makes a network with ports for so many guests. */
  static async create(guests: number): Promise<GuestNetwork> {
    // Ends when its standard input does: with this process at the latest.
    const holder = start(
      'setpriv',
      ['--pdeathsig', 'KILL', 'unshare', '--net', 'sh', '-c', 'echo; exec cat'],
      {
        stdio: ['pipe', 'pipe', 'pipe'],
        timeout: 0,
      },
    );
    const network = new GuestNetwork(holder);
    try {
      await Promise.race([once(holder.child.stdout ?? holder.child, 'data'), holder.ended.then(failed)]);
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
    const all = [...this.#running, this.#holder];
    for (const { child } of all) child.kill('SIGKILL');
    await Promise.allSettled(all.map(({ ended }) => ended));
  }
}

/** A network with ports for so many guests. Close it when the test ends: that kills all guests and servers in it. */
export function createNetwork(options: { readonly guests: number }): Promise<GuestNetwork> {
  return GuestNetwork.create(options.guests);
}

function failed({ code, stderr }: { code: number | null; stderr: string }): void {
  if (code !== 0) throw new Error(`no network for guests: ${stderr}`);
}
