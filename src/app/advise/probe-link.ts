import { isIPv6, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { CalyxError, isCalyxError, systemCode } from '../../core/errors.js';
import { median } from '../../placement/mount-advice/measurement.js';
import type { LinkFacts } from '../../placement/mount-advice/client-facts.js';
import { connectSocket } from '../../protocols/rpc/connect-socket.js';
import type { SystemFiles } from './system-files.js';

/** Where the store is. */
export interface StoreAddress {
  readonly host: string;
  readonly port: number;
}

const SAMPLES = 20;
const CONNECT_MS = 5_000;

/** The way to a store except for its round trips, by connecting to it; throws CalyxError that says what to check. */
export async function probeLink(
  store: StoreAddress,
  files: SystemFiles,
  signal: AbortSignal,
): Promise<Omit<LinkFacts, 'roundTripMs'>> {
  const times: number[] = [];
  let addresses = { address: '', localAddress: '' };
  for (let sample = 0; sample < SAMPLES; sample += 1) {
    const start = performance.now();
    // By the address after the first time: looking up a name is no part of the way.
    const socket = await open({ ...store, host: addresses.address || store.host }, store, signal);
    if (sample > 0) times.push(performance.now() - start);
    addresses = { address: plain(socket.remoteAddress), localAddress: plain(socket.localAddress) };
    socket.destroy();
  }
  const name = interfaceOf(addresses.localAddress);
  return {
    ...addresses,
    interface: name,
    // The kernel sends to its own addresses by loopback, whatever interface they belong to.
    loopback: name === 'lo' || interfaceOf(addresses.address) !== undefined,
    speedMbit: positive(files.text(`/sys/class/net/${name ?? ''}/speed`)),
    mtu: positive(files.text(`/sys/class/net/${name ?? ''}/mtu`)),
    connectMs: median(times) ?? 0,
  };
}

async function open(to: StoreAddress, named: StoreAddress, signal: AbortSignal): Promise<Socket> {
  try {
    return await connectSocket({ ...to, signal, timeoutMs: CONNECT_MS });
  } catch (error) {
    signal.throwIfAborted();
    throw isCalyxError(error) ? connectError(named, error) : error;
  }
}

function connectError({ host, port }: StoreAddress, error: CalyxError): CalyxError {
  const where = `${host}:${port}`;
  const code = systemCode(error.cause);
  const cause = { cause: error };
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return new CalyxError('unavailable', `the name ${host} has no address`, {
      hint: 'check the name, or write the address of the store',
      ...cause,
    });
  if (code === 'ECONNREFUSED')
    return new CalyxError('unavailable', `nothing listens on ${where}`, {
      hint: 'check that calyx store runs with --nfs on that address and port (its default is loopback alone)',
      ...cause,
    });
  return new CalyxError(error.code, error.message, {
    hint: `check the address, the route, and that firewalls between let TCP port ${port} through`,
    ...cause,
  });
}

function interfaceOf(address: string): string | undefined {
  for (const [name, own] of Object.entries(networkInterfaces()))
    if (own?.some((each) => each.address === address) === true) return name;
  return address.startsWith('127.') ? 'lo' : undefined;
}

/** An IPv4 address that is written as IPv6 is IPv4. */
function plain(address: string | undefined): string {
  const text = address ?? '';
  return isIPv6(text) && /^::ffff:\d+\./i.test(text) ? text.slice('::ffff:'.length) : text;
}

function positive(text: string | undefined): number | undefined {
  const value = Number(text?.trim() === '' ? Number.NaN : text);
  return Number.isSafeInteger(value) && value > 0 ? value : undefined;
}
