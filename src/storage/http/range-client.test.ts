import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { RangeClient } from './range-client.js';
import { StalledError } from './range-connection.js';

/** A server that answers each request with the next of `answers`, byte by byte as given. */
async function serve(answers: readonly (string | ((socket: Socket) => void))[]): Promise<{
  client: RangeClient;
  requests: string[];
  connections: () => number;
}> {
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  let opened = 0;
  const server: Server = createServer((socket) => {
    opened += 1;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      const answer = answers[requests.push(bytes.toString('latin1')) - 1];
      if (typeof answer === 'string') socket.write(answer, 'latin1');
      else answer?.(socket);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const client = new RangeClient(new URL(`http://127.0.0.1:${port}`), { stallMs: 2000, connections: 1 });
  onTestFinished(() => {
    client.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { client, requests, connections: () => opened };
}

function partial(body: string, length = body.length, more = ''): string {
  return `HTTP/1.1 206 Partial Content\r\ncontent-length: ${length}\r\ncontent-range: bytes 3-7/9\r\n${more}\r\n${body}`;
}

test('receives the body into the buffer and uses the connection again', async () => {
  const { client, requests, connections } = await serve([partial('hello'), partial('world')]);
  const buffer = Buffer.alloc(5);
  const { head, received, contentLength } = await client.get('/v1/blobs/x', 3, buffer);
  expect([head.status, head.headers.get('content-range'), received, contentLength]).toEqual([
    206,
    'bytes 3-7/9',
    5,
    5,
  ]);
  expect(buffer.toString()).toBe('hello');
  await client.get('/', 3, buffer);
  expect(buffer.toString()).toBe('world');
  expect(connections()).toBe(1);
  expect(requests[0]).toMatch(
    /^GET \/v1\/blobs\/x HTTP\/1\.1\r\nhost: 127\.0\.0\.1:\d+\r\nrange: bytes=3-7\r\n\r\n$/,
  );
});

test('an answer may come in pieces of any size', async () => {
  const { client } = await serve([
    (socket) => {
      const bytes = Buffer.from(partial('hello'), 'latin1');
      let at = 0;
      const next = (): void => {
        if (at < bytes.length) socket.write(bytes.subarray(at, (at += 1)), () => setImmediate(next));
      };
      next();
    },
  ]);
  const buffer = Buffer.alloc(5);
  await client.get('/', 3, buffer);
  expect(buffer.toString()).toBe('hello');
});

test.each([
  ['another status', 'HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\n\r\nabc', 404, 3],
  ['chunks', 'HTTP/1.1 206 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n', 206, undefined],
  ['a body without a length', 'HTTP/1.1 206 OK\r\n\r\nhello', 206, undefined],
  ['a longer body', partial('hello world'), 206, 11],
  ['more than its length', partial('hello', 4), 206, 4],
])('%s leaves the buffer alone, and the connection is not used again', async (_, answer, status, length) => {
  const { client, connections } = await serve([answer, partial('hello')]);
  const buffer = Buffer.from('-----');
  const { head, received, contentLength } = await client.get('/', 3, buffer);
  expect([head.status, received, contentLength]).toEqual([status, 0, length]);
  expect(buffer.toString()).toBe('-----');
  await client.get('/', 3, buffer);
  expect(buffer.toString()).toBe('hello');
  expect(connections()).toBe(2);
});

test('a shorter body than asked for is told by its length', async () => {
  const { client } = await serve([partial('hel')]);
  expect(await client.get('/', 3, Buffer.alloc(5))).toMatchObject({ received: 3, contentLength: 3 });
});

test.each([
  ['no HTTP', 'SSH-2.0-x\r\n\r\n', /not HTTP/],
  ['an endless head', `HTTP/1.1 206 OK\r\nx: ${'y'.repeat(40_000)}`, /too long/],
  ['a close in the body', (socket: Socket) => socket.end(partial('hel', 5)), /closed/],
  ['a close before the answer', (socket: Socket) => socket.destroy(), /closed|ECONNRESET/],
])('%s fails', async (_, answer, message) => {
  const { client } = await serve([answer]);
  await expect(client.get('/', 3, Buffer.alloc(5))).rejects.toThrow(message);
});

test('a connection that sends bytes nobody asked for is not used again', async () => {
  const { client, connections } = await serve([
    (socket) =>
      socket.write(partial('hello'), () => setImmediate(() => socket.write('HTTP/1.1 206 forged\r\n\r\n'))),
    partial('world'),
  ]);
  const buffer = Buffer.alloc(5);
  await client.get('/', 3, buffer);
  // Whether the forged bytes are seen before or after the next request, they are never taken for its answer.
  const answer = await client.get('/', 3, buffer).catch((error: unknown) => error);
  if (!(answer instanceof Error))
    expect(answer).toMatchObject(connections() === 2 ? { received: 5 } : { received: 0 });
});

test('a server that stops sending is a stall', async () => {
  const { client } = await serve([partial('hel', 5)]);
  await expect(client.get('/', 3, Buffer.alloc(5))).rejects.toThrow(StalledError);
});

test('a signal ends the request under way and those that wait for the connection', async () => {
  const controller = new AbortController();
  const { client } = await serve([() => controller.abort(new Error('enough')), partial('hello')]);
  const first = client.get('/', 3, Buffer.alloc(5), controller.signal);
  const second = client.get('/', 3, Buffer.alloc(5), controller.signal);
  await expect(first).rejects.toThrow('enough');
  await expect(second).rejects.toThrow('enough');
  const buffer = Buffer.alloc(5);
  await client.get('/', 3, buffer);
  expect(buffer.toString()).toBe('hello');
});

test('after close nothing is asked', async () => {
  const { client, requests } = await serve([]);
  client.close();
  await expect(client.get('/', 3, Buffer.alloc(5))).rejects.toThrow('closed');
  expect(requests).toEqual([]);
});
