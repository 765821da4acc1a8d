import { isIPv6 } from 'node:net';

/**
 * What counts as one address: an IPv4 address, or the first 64 bits of an IPv6 address, because that is what one subscriber has
 * (RFC 6177, RFC 4291 section 2.5.4). Anything else counts as it is written.
 */
export function addressBlock(address: string): string {
  const [plain = ''] = address.split('%');
  if (!isIPv6(plain)) return address.slice(0, 200);
  const [head = [], tail] = plain.split('::').map((part) => part.split(':').filter((group) => group !== ''));
  const groups = [...head];
  if (tail !== undefined) {
    // An embedded IPv4 address stands for two groups.
    const width = groups.length + tail.length + (tail.at(-1)?.includes('.') === true ? 1 : 0);
    groups.push(...Array<string>(Math.max(8 - width, 0)).fill('0'), ...tail);
  }
  const block = groups.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16));
  return `${block.join(':')}::/64`;
}
