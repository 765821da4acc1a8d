import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { expect, onTestFinished, test } from 'vitest';
import { sha256 } from '../../core/digest.js';
import { BufferPool } from '../buffer-pool.js';
import { HttpSource } from './http-source.js';

const BLOB = sha256('blob');
const CONTENT = Buffer.from('0123456789');

/** A source at a server that answers with the bytes 3 to 7, in whatever form. */
async function sourceAt(answer: (response: ServerResponse, request: number) => void): Promise<HttpSource> {
  let requests = 0;
  const server = createServer((request, response) => {
    expect(request.url).toBe(`/v1/blobs/${BLOB}`);
    expect(request.headers.range).toBe('bytes=3-7');
    answer(response, (requests += 1));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const source = new HttpSource(new URL(`http://127.0.0.1:${port}/`), new BufferPool(), { stallMs: 5000 });
  onTestFinished(async () => {
    await source.close();
    server.closeAllConnections();
    server.close();
  });
  return source;
}

const RANGE = { 'content-range': 'bytes 3-7/10' };
const BODY = CONTENT.subarray(3, 8);

test.each([
  ['with a length', (response: ServerResponse) => response.writeHead(206, { ...RANGE, 'content-length': 5 })],
  ['in chunks', (response: ServerResponse) => response.writeHead(206, RANGE)],
  [
    'until the connection is closed',
    (response: ServerResponse) => {
      response.chunkedEncoding = false;
      response.shouldKeepAlive = false;
      response.useChunkedEncodingByDefault = false;
      return response.writeHead(206, RANGE);
    },
  ],
])('reads an answer %s, again and again', async (_, head) => {
  const source = await sourceAt((response) => {
    head(response);
    response.write(BODY.subarray(0, 2));
    response.end(BODY.subarray(2));
  });
  for (let time = 0; time < 3; time += 1) {
    const lease = await source.read(BLOB, 3, 5);
    expect(Buffer.concat(lease.parts)).toEqual(BODY);
    lease.release();
  }
});

test('a server that changes its form meanwhile is understood', async () => {
  const source = await sourceAt((response, request) => {
    response.writeHead(206, request === 2 ? RANGE : { ...RANGE, 'content-length': 5 });
    response.end(BODY);
  });
  const reads = await Promise.all([1, 2, 3, 4, 5].map(() => source.read(BLOB, 3, 5)));
  for (const lease of reads) expect(Buffer.concat(lease.parts)).toEqual(BODY);
});

test('a server that is not there is unavailable, and the reason is told', async () => {
  const source = new HttpSource(new URL('http://127.0.0.1:9/'), new BufferPool());
  onTestFinished(() => source.close());
  await expect(source.read(BLOB, 3, 5)).rejects.toThrow(/ECONNREFUSED/);
});
