import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { unpackedPackages, type GuestKernel } from './packages.js';

const known = new Map<GuestKernel | undefined, string | undefined>();

/**
 * Why no guest can be booted here, or undefined if one can; the first call fetches the guest's packages if they are not cached.
 * @param kernel that of the guest, if the test needs a certain one
 * @throws Error with the reason, in continuous integration: there it must be possible
 */
export function guestUnavailable(kernel?: GuestKernel): string | undefined {
  if (!known.has(kernel)) known.set(kernel, findReason(kernel));
  const reason = known.get(kernel);
  if (reason !== undefined && process.env['CI'] !== undefined) throw new Error(reason);
  // Vitest says that a test was skipped, but not why.
  if (reason !== undefined) process.stderr.write(`${reason}\n`);
  return reason;
}

function findReason(kernel: GuestKernel | undefined): string | undefined {
  const what = kernel === undefined ? 'guests' : `guests with Linux ${kernel}`;
  const because = (reason: string): string => `no User-Mode Linux ${what}: ${reason}`;
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return because(`they need Linux on x64, this is ${process.platform} on ${process.arch}`);
  }
  if (process.getuid?.() !== 0) return because('they need root, for a network of their own');
  try {
    closeSync(openSync('/dev/net/tun', 'r+'));
  } catch (error) {
    return because(`/dev/net/tun cannot be opened (${(error as Error).message})`);
  }
  // Proves the tools, and that this machine lets us have a network, a bridge and a tap.
  const trial = 'ip link add trial type bridge && ip tuntap add dev trialtap mode tap';
  const tried = spawnSync('setpriv', ['--pdeathsig', 'KILL', 'unshare', '--net', 'sh', '-c', trial], {
    encoding: 'utf8',
    timeout: 10_000,
  });
  if (tried.status !== 0) {
    const said = tried.error?.message ?? tried.stderr.trim();
    return because(`cannot make a network with setpriv, unshare (util-linux) and ip (iproute2): ${said}`);
  }
  try {
    unpackedPackages(kernel);
  } catch (error) {
    return because((error as Error).message);
  }
  return undefined;
}
