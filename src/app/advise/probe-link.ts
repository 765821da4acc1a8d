import { connect, isIPv6, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { CalyxError, errorMessage, systemCode } from '../../core/errors.js';
import { median } from '../../placement/mount-advice/measurement.js';
import type { LinkFacts } from '../../placement/mount-advice/client-facts.js';
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

function open(to: StoreAddress, named: StoreAddress, signal: AbortSignal): Promise<Socket> {
  signal.throwIfAborted();
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(CONNECT_MS)]);
  return new Promise((resolve, reject) => {
    const socket = connect({ ...to, noDelay: true });
    const settle = (error?: unknown): void => {
      deadline.removeEventListener('abort', onAbort);
      if (error === undefined) {
        resolve(socket);
        return;
      }
      socket.destroy();
      reject(error instanceof Error ? error : new Error(errorMessage(error)));
    };
    const onAbort = (): void => settle(signal.aborted ? signal.reason : connectError(named, undefined));
    deadline.addEventListener('abort', onAbort, { once: true });
    // Resetting after it is open is no news to us.
    socket.on('error', (error) => settle(connectError(named, error)));
    socket.once('connect', () => settle());
  });
}

function connectError({ host, port }: StoreAddress, error: Error | undefined): CalyxError {
  const where = `${host}:${port}`;
  const code = systemCode(error);
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
  const why = error === undefined ? `no answer within ${CONNECT_MS / 1000} s` : error.message;
  return new CalyxError('unavailable', `${where} cannot be reached: ${why}`, {
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
