import { networkInterfaces } from 'node:os';

/** The address for clients, as in a URL: of one that means all addresses of this machine, the first that is not its own alone. */
export function reachableHost(host: string): string {
  const plain = host.replace(/^\[|\]$/g, '');
  const address = plain === '0.0.0.0' || plain === '::' ? outsideAddress() : plain;
  return address.includes(':') ? `[${address}]` : address;
}

function outsideAddress(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const outside = addresses.filter(({ internal }) => !internal);
  const fitting = outside.find(({ family }) => family === 'IPv4') ?? outside[0];
  return fitting?.address ?? '127.0.0.1';
}
