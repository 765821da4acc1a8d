import { describe, expect, it } from 'vitest';
import { networkOf, plainAddress } from './network-address.js';

describe('networkOf', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::1', '0:0:0:0'],
    ['::', '0:0:0:0'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:DB8::', '2001:db8:0:0'],
    ['2001:0db8:0001::7', '2001:db8:1:0'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
    ['', ''],
  ])('%s', (address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});

describe('plainAddress', () => {
  it.each([
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:192.0.2.1', '192.0.2.1'],
    ['192.0.2.1', '192.0.2.1'],
    ['2001:db8::1', '2001:db8::1'],
    [undefined, ''],
  ])('%s', (address, plain) => {
    expect(plainAddress(address)).toBe(plain);
  });
});
