import { describe, expect, it } from 'vitest';
import type { StoreDescription } from '../../store/describe-store.js';
import { checkListeners } from './listeners.js';

const nfs = {
  address: { host: '127.0.0.1', port: 2049 },
  allow: [] as string[],
  privilegedPorts: false,
  requireTls: false,
  requireClientCertificate: false,
};
const store: StoreDescription = {
  url: 'https://127.0.0.1:7070',
  host: '127.0.0.1',
  secured: true,
  nfs,
  version: '1.0.0',
  certificateNotAfter: 0,
};
const far = { ...nfs, address: { host: '10.0.0.1', port: 2049 } };

describe('checkListeners', () => {
  it('is content with loopback, and with TLS and tokens anywhere', () => {
    const hosts = ['127.0.0.1', '10.0.0.1', '2a00:1450::1'];
    const said = hosts.map((host) => checkListeners({ ...store, host, nfs: null }, []));
    expect(said.map(([verdict]) => verdict?.severity)).toEqual(['ok', 'ok', 'ok']);
    expect(said[2]?.[0]?.message).toContain('the address is public');
    expect(checkListeners({ ...store, url: 'http://127.0.0.1:7070', secured: false }, [])).toMatchObject([
      { severity: 'ok' },
      { severity: 'ok' },
    ]);
  });

  it.each([
    ['10.0.0.1', 'private network'],
    ['203.0.113.9', 'the address is public'],
    ['0.0.0.0', 'the address is public'],
  ])('an open %s is a problem', (host, who) => {
    const own = ['127.0.0.1', '10.0.0.1', '203.0.113.9'];
    expect(checkListeners({ ...store, host, secured: false, nfs: null }, own)).toMatchObject([
      {
        severity: 'problem',
        message: expect.stringContaining(who) as string,
        wayOut: expect.stringContaining('without --insecure') as string,
      },
      { severity: 'note' },
    ]);
  });

  it.each<[boolean, Partial<typeof nfs>, string]>([
    [true, {}, 'warning'],
    [true, { requireTls: true }, 'warning'],
    [true, { privilegedPorts: true }, 'ok'],
    [true, { requireTls: true, requireClientCertificate: true }, 'ok'],
    // There HTTP asks nobody either.
    [false, {}, 'ok'],
  ])(
    'to the users of its machine a store (with tokens: %s) with NFS %o is a %s',
    (secured, changed, severity) => {
      const [, verdict, ...more] = checkListeners({ ...store, secured, nfs: { ...nfs, ...changed } }, []);
      expect(verdict).toMatchObject({ severity });
      if (severity === 'warning') expect(verdict?.message).toContain('every user of this machine');
      expect(more).toEqual([]);
    },
  );

  it.each<[Partial<typeof nfs>, string]>([
    [{ allow: ['10.0.0.0/24'] }, 'warning'],
    [{ allow: ['10.0.0.0/24'], requireTls: true }, 'ok'],
    [{ allow: ['0.0.0.0/0'], requireTls: true }, 'problem'],
    [{ allow: ['::/0'], requireTls: true }, 'problem'],
    [{ allow: ['10.0.0.7', '0.0.0.0/1=acme/*'], requireTls: true }, 'problem'],
    [{ allow: ['2000::/3'], requireTls: true }, 'problem'],
    [{ allow: ['0.0.0.0/0'], requireTls: true, requireClientCertificate: true }, 'ok'],
    [{ requireTls: true, requireClientCertificate: true }, 'ok'],
  ])('NFS beyond loopback with %o is a %s', (changed, severity) => {
    const [, verdict, ...more] = checkListeners({ ...store, nfs: { ...far, ...changed } }, []);
    expect(verdict).toMatchObject({ severity });
    expect(more).toEqual([]);
  });
});
