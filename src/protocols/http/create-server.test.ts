import { describe, expect, it } from 'vitest';
import { parseListenAddress } from './create-server.js';

describe('parseListenAddress', () => {
  it.each([
    ['127.0.0.1:7070', '127.0.0.1', 7070],
    ['0.0.0.0:0', '0.0.0.0', 0],
    ['[::1]:65535', '::1', 65_535],
    ['store.lan:80', 'store.lan', 80],
    [':7070', '127.0.0.1', 7070],
  ])('%s', (text, host, port) => {
    expect(parseListenAddress(text)).toEqual({ host, port });
  });

  it.each([
    [''],
    ['7070'],
    ['127.0.0.1'],
    ['127.0.0.1:'],
    ['127.0.0.1:65536'],
    ['127.0.0.1:99999'],
    ['127.0.0.1:-1'],
    ['127.0.0.1:7070x'],
    ['127.0.0.1: 7070'],
    ['::1:7070'],
    ['[::1]'],
    ['[evil]:7070'],
    ['http://127.0.0.1:7070'],
  ])('refuses %j', (text) => {
    expect(() => parseListenAddress(text)).toThrow(expect.objectContaining({ code: 'usage' }) as Error);
  });
});
