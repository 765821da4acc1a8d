import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { serve } from '../../../test/support/blob-server.js';
import { bytesOf } from '../../../test/support/blobs.js';
import { expectError } from '../../../test/support/expect-error.js';
import type { ErrorCode } from '../../core/errors.js';
import { BufferPool } from '../buffer-pool.js';
import { codeOfStatus, HttpSource } from './http-source.js';

const BLOB = '5'.repeat(64);
const BUDGET = 128 * 1024;

type Behave = (response: ServerResponse, request: IncomingMessage) => void;

/** Reads 10 bytes at 100 from a server that behaves as told; then checks that no buffer was lost. */
async function readFrom(behave: Behave, stallMs = 10_000, signal?: AbortSignal) {
  const url = await serve((request, response) => behave(response, request));
  const pool = new BufferPool({ budgetBytes: BUDGET });
  const source = new HttpSource(url, pool, { stallMs });
  try {
    const lease = await source.read(BLOB, 100, 10, signal === undefined ? {} : { signal });
    lease.release();
    return { url, text: bytesOf(lease).toString() };
  } finally {
    expect(pool.take(BUDGET), 'a buffer was lost').not.toBeInstanceOf(Promise);
    await source.close();
  }
}

const RANGE = { 'content-range': 'bytes 100-109/500' };
const GOOD: Behave = (response) => response.writeHead(206, RANGE).end('0123456789');

describe('HttpSource', () => {
  it('asks for exactly its bytes of the blob, below the path of the store', async () => {
    let asked: string[] = [];
    const url = await serve((request, response) => {
      asked = [request.method ?? '', request.url ?? '', request.headers.range ?? ''];
      GOOD(response, request);
    });
    const source = new HttpSource(new URL('/a/store/', url), new BufferPool());
    const lease = await source.read(BLOB, 100, 10);
    expect(bytesOf(lease).toString()).toBe('0123456789');
    expect(asked).toEqual(['GET', `/a/store/v1/blobs/${BLOB}`, 'bytes=100-109']);
    await source.close();
  });

  it('takes bytes as they come, in any pieces', async () => {
    const { text } = await readFrom((response) => {
      response.writeHead(206, { 'content-range': 'bytes 100-109/*' });
      response.write('0');
      setImmediate(() => {
        response.write('1234');
        setImmediate(() => response.end('56789'));
      });
    });
    expect(text).toBe('0123456789');
  });

  it('keeps a password out of its name', async () => {
    const source = new HttpSource(
      new URL('http://user:secret@127.0.0.1:1/base/?token=secret#secret'),
      new BufferPool(),
    );
    expect(source.name).toBe('http://127.0.0.1:1/base');
    await source.close();
  });

  it.each<[string, Behave, ErrorCode, (string | RegExp)[]]>([
    ['200 with the whole blob', (r) => r.writeHead(200).end('x'.repeat(500)), 'unavailable', ['answered 200']],
    ['204', (r) => r.writeHead(204).end(), 'unavailable', ['answered 204']],
    ['a redirect', (r) => r.writeHead(302, { location: '/' }).end(), 'unavailable', ['answered 302']],
    ['401', (r) => r.writeHead(401).end(), 'unauthenticated', ['answered 401', 'calyx token create']],
    ['403', (r) => r.writeHead(403).end(), 'refused', ['answered 403']],
    ['404', (r) => r.writeHead(404).end('no'), 'not-found', ['does not have the blob']],
    ['416', (r) => r.writeHead(416, { 'content-range': 'bytes */50' }).end(), 'corrupt', ['answered 416']],
    ['500 with a long page', (r) => r.writeHead(500).end('x'.repeat(1_000_000)), 'unavailable', ['answered 500']],
    ['503', (r) => r.writeHead(503).end(), 'unavailable', ['answered 503']],
    ['504', (r) => r.writeHead(504).end(), 'timeout', ['answered 504']],
    ['no Content-Range', (r) => r.writeHead(206).end('0123456789'), 'corrupt', ["range 'undefined' instead of 'bytes 100-109/...'"]],
    ['another start', (r) => r.writeHead(206, { 'content-range': 'bytes 0-9/500' }).end('0123456789'), 'corrupt', ["'bytes 0-9/500'"]],
    ['a shorter range', (r) => r.writeHead(206, { 'content-range': 'bytes 100-104/105' }).end('01234'), 'corrupt', ["'bytes 100-104/105'"]],
    ['a longer range', (r) => r.writeHead(206, { 'content-range': 'bytes 100-1099/2000' }).end('x'.repeat(1000)), 'corrupt', ['instead of']],
    ['another unit', (r) => r.writeHead(206, { 'content-range': 'items 100-109/500' }).end('0123456789'), 'corrupt', ['items']],
    ['two parts', (r) => r.writeHead(206, { 'content-type': 'multipart/byteranges; boundary=x' }).end('--x--'), 'corrupt', ['undefined']],
    ['a short body', (r) => r.writeHead(206, RANGE).end('012345678'), 'unavailable', ['sent 9 of 10 bytes']],
    ['an empty body', (r) => r.writeHead(206, RANGE).end(), 'unavailable', ['sent 0 of 10 bytes']],
    ['a long body', (r) => r.writeHead(206, RANGE).end('0123456789x'), 'corrupt', ['more bytes than asked for']],
    ['an endless body', (r) => endless(r.writeHead(206, RANGE)), 'corrupt', ['more bytes than asked for']],
    ['an endless page of an error', (r) => endless(r.writeHead(500)), 'unavailable', ['answered 500']],
    ['a cut before the answer', (r) => r.destroy(), 'unavailable', ['failed (']],
    ['a cut in the middle', (r) => r.writeHead(206, { ...RANGE, 'content-length': 10 }).write('01234', () => r.destroy()), 'unavailable', ['failed (']],
    ['a cut in the middle of chunked coding', (r) => r.writeHead(206, RANGE).write('01234', () => r.destroy()), 'unavailable', ['failed (']],
  ])('names itself and the blob when the server sends %s', async (_, behave, code, says) => {
    await expectError(() => readFrom(behave), code, /^http:\/\/127\.0\.0\.1:\d+ /, BLOB, ...says);
  }); // prettier-ignore

  it('does not wait for ever for a server that is silent before its answer', async () => {
    await expectError(() => readFrom(() => undefined, 100), 'timeout', 'sent nothing for 0.1 s', BLOB);
  });

  it('does not wait for ever for a server that falls silent in the middle', async () => {
    const behave: Behave = (response) => response.writeHead(206, RANGE).write('01234');
    await expectError(() => readFrom(behave, 100), 'timeout', 'sent nothing for 0.1 s', BLOB);
  });

  it.each<[string, (started: () => void) => Behave]>([
    ['before the answer', (started) => () => started()],
    [
      'in the middle of it',
      (started) => (response) => response.writeHead(206, RANGE).write('01234', () => started()),
    ],
  ])('ends at once when its reader gives up %s, and hangs up', async (_, behave) => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const hungUp: Promise<void>[] = [];
    const read = readFrom(
      (response, request) => {
        hungUp.push(new Promise((resolve) => response.once('close', resolve)));
        behave(() => controller.abort(reason))(response, request);
      },
      10_000,
      controller.signal,
    );
    await expect(read).rejects.toBe(reason);
    await Promise.all(hungUp);
    expect(hungUp).toHaveLength(1);
  });

  it('leaves a server that drips, though each byte comes in time', async () => {
    const url = await serve((_request, response) => {
      response.writeHead(206, { 'content-range': 'bytes 100-299/500', 'content-length': 200 });
      const timer = setInterval(() => response.write('x'), 50);
      response.once('close', () => clearInterval(timer));
    });
    const source = new HttpSource(url, new BufferPool(), { stallMs: 500, minBytesPerSecond: 1_000_000 });
    await expectError(() => source.read(BLOB, 100, 200), 'timeout', 'for 200 bytes of the blob');
    await source.close();
  });

  it('says that nobody listens', async () => {
    // A port that was free a moment ago.
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    const source = new HttpSource(new URL(`http://127.0.0.1:${port}`), new BufferPool());
    await expectError(() => source.read(BLOB, 0, 1), 'unavailable', `http://127.0.0.1:${port} failed`, 'ECONNREFUSED', 'check that the store runs');
    await source.close();
  }); // prettier-ignore

  it('reads on over a new connection after all of this', async () => {
    let requests = 0;
    const url = await serve((request, response) => {
      requests += 1;
      const headers = (length: number) => ({ ...RANGE, 'content-length': length });
      if (requests === 1) response.writeHead(206, headers(10)).write('01234', () => response.destroy());
      else if (requests === 2) response.writeHead(206, headers(19)).end('0123456789 and more');
      else if (requests === 3) response.writeHead(500).end('x'.repeat(100_000));
      else GOOD(response, request);
    });
    const source = new HttpSource(url, new BufferPool(), { connections: 1 });
    for (const code of ['unavailable', 'corrupt', 'unavailable'] as const)
      await expectError(() => source.read(BLOB, 100, 10), code);
    expect(bytesOf(await source.read(BLOB, 100, 10)).toString()).toBe('0123456789');
    await source.close();
  });
});

function endless(response: ServerResponse): void {
  const more = (): void => {
    if (!response.destroyed) response.write('x'.repeat(65_536), () => setImmediate(more));
  };
  more();
}

it.each<[number, ErrorCode]>([
  [404, 'not-found'],
  [410, 'not-found'],
  [401, 'unauthenticated'],
  [403, 'refused'],
  [421, 'refused'],
  [408, 'timeout'],
  [504, 'timeout'],
  [416, 'corrupt'],
  [400, 'unavailable'],
  [429, 'limited'],
  [500, 'unavailable'],
  [502, 'unavailable'],
  [200, 'unavailable'],
])('status %i is %s', (status, code) => {
  expect(codeOfStatus(status)).toBe(code);
});
