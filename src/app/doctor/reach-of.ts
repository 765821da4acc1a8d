import { BlockList, isIP } from 'node:net';
import { isLoopback } from '../../protocols/http/guard.js';

/** From where an address can be reached. */
export type Reach = 'loopback' | 'private' | 'public';

/** Addresses that no router of the internet passes on (RFC 1918, 3927, 6598, 4193, 4291 section 2.5.6). */
const PRIVATE = new BlockList();
for (const [address, prefix] of [
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['169.254.0.0', 16],
  ['100.64.0.0', 10],
] as const)
  PRIVATE.addSubnet(address, prefix, 'ipv4');
PRIVATE.addSubnet('fc00::', 7, 'ipv6');
PRIVATE.addSubnet('fe80::', 10, 'ipv6');

/**
 * Who can reach what listens on a host: of several addresses, the widest counts. A name that is no address counts as private: which addresses it
 * has is not asked.
 *
 * @param own the addresses of this machine, which `0.0.0.0` and `::` stand for
 */
export function reachOf(host: string, own: readonly string[]): Reach {
  const plain = host.replace(/^\[|\]$/g, '').replace(/%.*$/, '');
  if (plain === '0.0.0.0' || plain === '::') {
    const reaches = own
      .filter((address) => plain === '::' || isIP(address) === 4)
      .map((address) => reachOf(address, []));
    // What is reached by others later need not have an address now.
    return reaches.includes('public') ? 'public' : 'private';
  }
  if (isLoopback(plain)) return 'loopback';
  const family = isIP(plain);
  if (family === 0) return 'private';
  return PRIVATE.check(plain, family === 6 ? 'ipv6' : 'ipv4') ? 'private' : 'public';
}
