import { expect, onTestFinished, test } from 'vitest';
import { serve } from '../../../test/support/blob-server.js';
import { expectError } from '../../../test/support/expect-error.js';
import { credentialOf, serveSecurely, testCluster } from '../../../test/support/secure-server.js';
import type { ClusterCredential } from '../../core/access.js';
import { JsonClient } from './json-client.js';

function clientOf(url: URL, credential?: ClusterCredential, timeoutMs = 5000): JsonClient {
  const client = new JsonClient(url, { credential, timeoutMs });
  onTestFinished(() => client.close());
  return client;
}

test('asks over TLS with its token', async () => {
  const cluster = await testCluster();
  const url = await serveSecurely(cluster, (request, response) =>
    response.end(JSON.stringify({ sent: request.headers.authorization, host: request.headers.host })),
  );
  const credential = credentialOf(cluster);
  expect(await clientOf(url, credential).json('/v1/status')).toEqual({
    sent: `Bearer ${credential.token}`,
    host: url.host,
  });
});

test('another cluster is told nothing', async () => {
  const [ours, other] = [await testCluster(), await testCluster()];
  let asked = 0;
  const url = await serveSecurely(other, (_request, response) => {
    asked += 1;
    response.end('{}');
  });
  const client = clientOf(url, credentialOf(ours));
  await expectError(() => client.json('/'), 'refused', 'is not a store of this cluster', 'nothing was sent');
  expect(asked).toBe(0);
});

test.each([
  ['over', -200 * 86_400_000, 'is no longer valid'],
  ['to come', 3_600_000, 'is not valid yet'],
])('a certificate that is %s is told with the date of this machine', async (_, shiftMs, says) => {
  const cluster = await testCluster(() => Date.now() + shiftMs);
  const url = await serveSecurely(cluster, (_request, response) => response.end('{}'));
  const client = clientOf(url, credentialOf(cluster));
  await expectError(() => client.json('/'), 'refused', says, new Date().toISOString().slice(0, 10), 'clocks');
});

test('plain HTTP at an address for TLS, and the reverse', async () => {
  const cluster = await testCluster();
  const plain = await serve((_request, response) => response.end('{}'));
  plain.protocol = 'https:';
  await expectError(() => clientOf(plain, credentialOf(cluster)).json('/'), 'refused', 'does not speak TLS');
  const secured = await serveSecurely(cluster, (_request, response) => response.end('{}'));
  secured.protocol = 'http:';
  await expectError(() => clientOf(secured).json('/'), 'unavailable', 'https://HOST:PORT');
});

test.each([
  [401, 'unauthenticated', 'calyx token create'],
  [403, 'refused', '403'],
  [404, 'not-found', '404'],
  [429, 'limited', '429'],
  [502, 'unavailable', '502'],
] as const)('status %i, as from a proxy, is %s', async (status, code, says) => {
  const cluster = await testCluster();
  const url = await serveSecurely(cluster, (_request, response) => response.writeHead(status).end());
  const credential = credentialOf(cluster);
  const error = await expectError(() => clientOf(url, credential).json('/'), code, says);
  expect(`${error.message}${String(error.hint)}`).not.toContain(credential.token);
});

test('who has no token is told how to get one', async () => {
  const body = { error: { code: 'unauthenticated', message: 'no token was sent' } };
  const url = await serve((_request, response) => response.writeHead(401).end(JSON.stringify(body)));
  await expectError(() => clientOf(url).json('/'), 'unauthenticated', 'asks for a token', 'calyx join');
});
