import { expect, it } from 'vitest';
import type { AddressFailure } from '../facts/address-facts.js';
import { checkReach } from './reach-stores.js';

const server = 'https://10.0.0.1:7070';

it('says that a store answers', () => {
  const certificate = { of: 'it', notBefore: 0, notAfter: 1 };
  expect(checkReach([{ server, certificate }], true)).toEqual([
    { severity: 'ok', message: `${server} answers, and has proven to be a store of the cluster` },
  ]);
});

it.each<[AddressFailure, string, string]>([
  ['no-name', 'its name is not known', 'getent'],
  ['no-route', 'no way to it', 'ip route'],
  ['refused', 'nothing listens on this port', 'calyx store --listen'],
  ['silent', 'does not answer in time', 'firewall'],
  ['cut-off', 'ends the connection', 'log of the store'],
  ['no-tls', 'does not speak TLS', 'http://HOST:PORT'],
  ['wants-tls', 'speak TLS', 'calyx join'],
  ['no-handshake', 'no TLS connection', 'version'],
  ['other-identity', 'another identity', 'between you and the store'],
  ['not-a-store', 'not a store', 'port'],
  ['expired', 'is over', 'started again'],
  ['not-yet-valid', 'not good yet', 'clock'],
  ['not-joined', 'no cluster was joined', 'calyx join'],
  ['plain', 'on the way to read', 'https://'],
  ['no-answer', 'not a store of Calyx', 'address'],
])('%s has a way out of its own', (kind, message, wayOut) => {
  expect(checkReach([{ server, failure: { kind, detail: 'ECODE' } }], true)).toEqual([
    {
      severity: 'problem',
      message: expect.stringMatching(new RegExp(`^${server}: .*${message}.* \\(ECODE\\)$`)) as string,
      wayOut: expect.stringContaining(wayOut) as string,
    },
  ]);
});

it('has nothing against it if nobody named a store', () => {
  const failure = { kind: 'refused', detail: 'ECONNREFUSED' } as const;
  expect(checkReach([{ server, failure }], false)).toMatchObject([{ severity: 'note' }]);
});
