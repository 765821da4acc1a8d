const MAX_LENGTH = 200;

/**
 * What one subscriber has: an address of IPv4, or the first 64 bits of one of IPv6 (RFC 6177; RFC 4291, section 2.5.4). Anything else counts as it
 * is written.
 */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address.slice(0, MAX_LENGTH);
  const [before = '', after] = address.slice(0, MAX_LENGTH).replace(/%.*$/, '').toLowerCase().split('::');
  const head = before === '' ? [] : before.split(':');
  const tail = after === undefined || after === '' ? [] : after.split(':');
  // An embedded IPv4 address stands for two groups.
  const width = head.length + tail.length + (tail.at(-1)?.includes('.') === true ? 1 : 0);
  const zeros = after === undefined ? 0 : Math.max(8 - width, 0);
  const groups = [...head, ...Array<string>(zeros).fill('0'), ...tail];
  return groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':');
}

/** An address without the prefix of mapped IPv4 addresses. */
export function plainAddress(address: string | undefined): string {
  return (address ?? '').replace(/^::ffff:(?=\d+\.)/i, '');
}
