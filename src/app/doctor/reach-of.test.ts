import { expect, it } from 'vitest';
import { reachOf } from './reach-of.js';

// Ranges of RFC 1122, 1918, 3927, 6598, 4193 and 4291; the others stand just outside of them.
it.each([
  ['localhost', 'loopback'],
  ['127.9.9.9', 'loopback'],
  ['[::1]', 'loopback'],
  ['10.255.0.1', 'private'],
  ['172.31.255.255', 'private'],
  ['172.32.0.0', 'public'],
  ['192.168.0.1', 'private'],
  ['169.254.1.1', 'private'],
  ['100.127.255.255', 'private'],
  ['100.128.0.0', 'public'],
  ['8.8.8.8', 'public'],
  ['fd00::1', 'private'],
  ['fe80::1%eth0', 'private'],
  ['[2a00:1450::1]', 'public'],
  ['store.local', 'private'],
])('%s is %s', (host, reach) => {
  expect(reachOf(host, [])).toBe(reach);
});

it('takes the widest of all addresses of this machine', () => {
  expect(reachOf('0.0.0.0', ['127.0.0.1', '10.0.0.1', '2a00::1'])).toBe('private');
  expect(reachOf('[::]', ['127.0.0.1', '10.0.0.1', '2a00::1'])).toBe('public');
  expect(reachOf('0.0.0.0', ['127.0.0.1'])).toBe('private');
});
