import { expect, test } from 'vitest';
import { parseAllowRule } from './nfs-access.js';
import { checkNfsConfig, type NfsConfig } from './serve-nfs.js';

const config = (host: string, allow: readonly string[]): NfsConfig => ({
  listen: { host, port: 2049 },
  allow: allow.map(parseAllowRule),
  privilegedPorts: false,
  requireTls: false,
  requireClientCertificate: false,
});
const check = (host: string, ...allow: readonly string[]): void => checkNfsConfig(config(host, allow));

test.each([['10.0.0.1'], ['0.0.0.0'], ['::'], ['store.example']])(
  '%s is refused unless somebody is allowed',
  (host) => {
    expect(() => check(host)).toThrow(expect.objectContaining({ code: 'refused' }) as Error);
    check(host, '10.0.0.0/24=acme/*');
  },
);

test.each([['127.0.0.1'], ['::1'], ['localhost']])('%s needs nobody to be allowed', (host) => {
  check(host);
  check(host, '10.0.0.0/24', '127.0.0.1=acme/*');
  check(host, '::1');
});

test('on loopback, to allow other machines only is a mistake that is told', () => {
  expect(() => check('127.0.0.1', '10.0.0.0/24')).toThrow(
    '--allow names other machines, but NFS on 127.0.0.1 can be reached from this one alone',
  );
});

test('beyond loopback nobody needs to be allowed where a certificate says who comes', () => {
  checkNfsConfig({ ...config('0.0.0.0', []), requireClientCertificate: true });
  expect(() => checkNfsConfig({ ...config('0.0.0.0', []), requireTls: true })).toThrow(
    expect.objectContaining({ code: 'refused' }) as Error,
  );
});
