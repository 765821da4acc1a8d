import type { RequestListener } from 'node:http';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { randomBytes } from 'node:crypto';
import { expect, onTestFinished, test, vi } from 'vitest';
import { serve } from '../../../test/support/blob-server.js';
import { expectError } from '../../../test/support/expect-error.js';
import { credentialOf, serveSecurely, testCluster, tokenOf } from '../../../test/support/secure-server.js';
import type { ClusterCredential } from '../../core/access.js';
import { sha256 } from '../../core/digest.js';
import { BufferPool } from '../buffer-pool.js';
import { HttpSource } from './http-source.js';

const CONTENT = randomBytes(5 * 1024 * 1024 + 17);
const BLOB = sha256(CONTENT);
const HOUR = 3_600_000;

function sourceOf(url: URL, credential: ClusterCredential, stallMs = 5000): HttpSource {
  const source = new HttpSource(url, new BufferPool(), { credential, stallMs });
  onTestFinished(() => source.close());
  return source;
}

/** Answers ranges; `chunked` as a proxy does that does not know the length. */
function blobs(seen: string[] = [], chunked = false): RequestListener {
  return (request, response) => {
    seen.push(String(request.headers.authorization));
    const [, from = '', to = ''] = /^bytes=(\d+)-(\d+)$/.exec(String(request.headers.range)) ?? [];
    const part = CONTENT.subarray(Number(from), Number(to) + 1);
    response.writeHead(206, {
      'content-range': `bytes ${from}-${to}/${CONTENT.byteLength}`,
      ...(chunked ? {} : { 'content-length': part.byteLength }),
    });
    response.end(part);
  };
}

async function read(source: HttpSource, offset: number, length: number): Promise<Buffer> {
  const lease = await source.read(BLOB, offset, length);
  const bytes = Buffer.concat(lease.parts);
  lease.release();
  return bytes;
}

test.each([
  ['with a length', false],
  ['in chunks', true],
])('reads over TLS what is sent %s, and shows its token', async (_, chunked) => {
  const cluster = await testCluster();
  const seen: string[] = [];
  const source = sourceOf(await serveSecurely(cluster, blobs(seen, chunked)), credentialOf(cluster));
  const ranges = [[0, CONTENT.byteLength], [3, 1], [16_380, 8], [1_000_000, 4_194_304], [CONTENT.byteLength - 1, 1]] as const; // prettier-ignore
  for (const [offset, length] of ranges)
    expect((await read(source, offset, length)).equals(CONTENT.subarray(offset, offset + length))).toBe(true);
  await Promise.all(ranges.map(([offset, length]) => read(source, offset, length)));
  expect(new Set(seen)).toEqual(new Set([`Bearer ${tokenOf(cluster)}`]));
});

test('the head and the body may come in any pieces', async () => {
  const cluster = await testCluster();
  const url = await serveSecurely(cluster, (request, response) => {
    const socket = request.socket;
    const answer = `HTTP/1.1 206 x\r\ncontent-range: bytes 3-7/10\r\ncontent-length: 5\r\n\r\nhello`;
    let at = 0;
    const next = (): void => {
      if (at < answer.length) socket.write(answer.slice(at, (at += 3)), () => setImmediate(next));
    };
    next();
    onTestFinished(() => void response.destroy());
  });
  expect((await read(sourceOf(url, credentialOf(cluster)), 3, 5)).toString()).toBe('hello');
});

test.each([undefined, '0'])('a server of another cluster is told nothing (NODE_TLS_REJECT_UNAUTHORIZED %s)', async (setting) => {
  vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', setting);
  onTestFinished(() => void vi.unstubAllEnvs());
  const [ours, other] = [await testCluster(), await testCluster()];
  const seen: string[] = [];
  const source = sourceOf(await serveSecurely(other, blobs(seen)), credentialOf(ours));
  const error = await expectError(() => read(source, 0, 1), 'refused', 'is not a store of this cluster', 'nothing was sent', '127.0.0.1');
  expect(seen).toEqual([]);
  expect(`${error.message}${String(error.hint)}${source.name}`).not.toContain('calyx1.');
}); // prettier-ignore

test('a node of the cluster is no store', async () => {
  const cluster = await testCluster();
  const { createCertificateRequest } = await import('../../cluster/identity/certificate-request.js');
  const { key, request } = await createCertificateRequest();
  const grant = { tokenId: '0123456789ab', name: 'n', role: 'node', models: '*' } as const;
  const { certificate } = await cluster.issue(request, grant);
  const pretender = { ...cluster, serverTls: () => Promise.resolve({ key, certificate, ca: cluster.ca }) };
  const source = sourceOf(await serveSecurely(pretender, blobs()), credentialOf(cluster));
  await expectError(() => read(source, 0, 1), 'refused', 'not a store', 'nothing was sent');
});

test.each([
  ['over', -200 * 24 * HOUR, 'is no longer valid'],
  ['to come', HOUR, 'is not valid yet'],
])('a certificate that is %s is told with the date of this machine', async (_, shiftMs, says) => {
  const cluster = await testCluster(() => Date.now() + shiftMs);
  const source = sourceOf(await serveSecurely(cluster, blobs()), credentialOf(cluster));
  const today = new Date().toISOString().slice(0, 10);
  await expectError(() => read(source, 0, 1), 'refused', says, today, 'clocks', 'nothing was sent');
});

test('plain HTTP at an address for TLS', async () => {
  const cluster = await testCluster();
  const url = await serve((_request, response) => response.end());
  url.protocol = 'https:';
  const source = sourceOf(url, credentialOf(cluster));
  await expectError(() => read(source, 0, 1), 'refused', 'does not speak TLS', 'nothing was sent');
});

test('TLS at an address for plain HTTP', async () => {
  const cluster = await testCluster();
  const url = await serveSecurely(cluster, blobs());
  url.protocol = 'http:';
  const source = sourceOf(url, credentialOf(cluster));
  await expectError(() => read(source, 0, 1), 'unavailable', 'https://HOST:PORT');
});

test('a handshake that is never answered ends with the stall', async () => {
  const cluster = await testCluster();
  const sockets: Socket[] = [];
  const server = createServer((socket) => void sockets.push(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const source = sourceOf(new URL(`https://127.0.0.1:${port}`), credentialOf(cluster), 150);
  await expectError(() => read(source, 0, 1), 'timeout', 'sent nothing for 0.15 s');
});
