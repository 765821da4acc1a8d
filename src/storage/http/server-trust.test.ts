import { expect, test } from 'vitest';
import { expectError } from '../../../test/support/expect-error.js';
import { credentialOf, testCluster } from '../../../test/support/secure-server.js';
import { WRITER_NAME } from '../../core/access.js';
import { trustOf } from './server-trust.js';

test.each(['http://10.0.0.5:7070', 'http://store:7070', 'http://127.example.org', 'http://[fe80::1]', 'http://128.0.0.1'])(
  'a token does not go to %s',
  async (text) => {
    const credential = credentialOf(await testCluster());
    const error = await expectError(() => trustOf(new URL(text), credential), 'usage', 'https://', 'nothing was sent');
    expect(`${error.message}${String(error.hint)}`).not.toContain('calyx1.');
  },
); // prettier-ignore

test.each(['http://127.0.0.1:7070', 'http://127.9.9.9', 'http://[::1]:1', 'http://localhost:7070'])(
  'a token goes to %s, which is this machine',
  async (text) => {
    const credential = credentialOf(await testCluster());
    expect(trustOf(new URL(text), credential)).toEqual({
      tls: undefined,
      authorization: `Bearer ${credential.token}`,
    });
  },
);

test('an open store is told nothing', () => {
  expect(trustOf(new URL('http://10.0.0.5:7070'), undefined)).toEqual({
    tls: undefined,
    authorization: undefined,
  });
});

test('without a cluster nobody is known at https:', async () => {
  await expectError(() => trustOf(new URL('https://10.0.0.5'), undefined), 'usage', 'calyx join');
});

test('a token that is for the writer alone goes over TLS to who proves to be it, also on this machine', async () => {
  const credential = { ...credentialOf(await testCluster()), server: WRITER_NAME } as const;
  expect(trustOf(new URL('https://10.0.0.5'), credential).tls?.servername).toBe('writer.calyx.internal');
  await expectError(() => trustOf(new URL('http://127.0.0.1:7070'), credential), 'usage', 'nothing was sent');
});
