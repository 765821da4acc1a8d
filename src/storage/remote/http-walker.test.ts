import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { retryAfter } from './hub-errors.js';
import { HttpWalker, destroy, refuseDescent } from './http-walker.js';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function serve(answer: RequestListener, host = '127.0.0.1'): Promise<URL> {
  const server: Server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  closing.push(() => server.close());
  return new URL(`http://${host}:${(server.address() as AddressInfo).port}`);
}

function walker(home: URL, token?: string): HttpWalker {
  const made = new HttpWalker(home, { token, stallMs: 2_000 });
  closing.unshift(() => made.close());
  return made;
}

const signal = (): AbortSignal => AbortSignal.timeout(10_000);

describe('HttpWalker', () => {
  it('follows to another origin without the token, and comes home with it', async () => {
    const seen: [string, string | undefined][] = [];
    const elsewhere = await serve((request, response) => {
      seen.push(['elsewhere', request.headers.authorization]);
      response.writeHead(307, { location: `${home.href}end` }).end();
    });
    const home = await serve((request, response) => {
      seen.push(['home', request.headers.authorization]);
      if (request.url === '/end') response.end('here');
      else response.writeHead(302, { location: elsewhere.href }).end();
    });
    const { status, body, url, passed } = await walker(home, 'secret').get(
      new URL('/start', home),
      {},
      signal(),
    );
    expect([status, await body.text(), url.pathname, passed.length]).toEqual([200, 'here', '/end', 2]);
    expect(seen).toEqual([
      ['home', 'Bearer secret'],
      ['elsewhere', undefined],
      ['home', 'Bearer secret'],
    ]);
  });

  it.each([
    ['a loop', (home: URL) => home.href],
    ['no address', () => 'http://'],
    ['another scheme', () => 'file:///etc/passwd'],
    ['a password', (home: URL) => `http://a:b@${home.host}/`],
  ])('refuses %s', async (_, location) => {
    const home: URL = await serve((_request, response) => {
      response.writeHead(302, { location: location(home) }).end();
    });
    await expect(walker(home).get(home, {}, signal())).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('without an end or to no address') as unknown,
    });
  });

  it('says who cannot be reached and who is silent', async () => {
    const home = await serve(() => undefined);
    await expect(walker(home).get(home, {}, signal())).rejects.toMatchObject({ code: 'timeout' });
    const nobody = new URL('http://127.0.0.1:1');
    await expect(walker(nobody).get(nobody, {}, signal())).rejects.toMatchObject({ code: 'unavailable' });
  });

  it.each([
    ['https://hub.example/a', 'https://cdn.example/b', true],
    ['http://127.0.0.1:80/a', 'http://localhost:81/b', true],
    ['http://127.0.0.1:80/a', 'https://cdn.example/b', true],
    ['http://mirror.lan/a', 'http://files.lan/b', true],
    ['https://hub.example/a', 'http://hub.example/a', false],
    ['https://hub.example/a', 'http://127.0.0.1/', false],
    ['https://hub.example/a', 'https://localhost/', false],
    ['http://mirror.lan/a', 'http://[::1]:7070/', false],
  ])('from %s to %s: %s', (from, to, followed) => {
    const go = (): void => refuseDescent(new URL(from), new URL(to));
    if (followed) expect(go).not.toThrow();
    else expect(go).toThrow('which is not followed');
  });

  it('ends what nobody wants', async () => {
    const home = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': '1000000000' });
      response.write('begin');
    });
    const { body } = await walker(home).get(home, {}, signal());
    destroy(body);
    expect(body.destroyed).toBe(true);
  });
});

describe('Retry-After (RFC 9110, section 10.2.3)', () => {
  it('is seconds or a date, and bounded', () => {
    expect(retryAfter('120')).toBe(120);
    expect(retryAfter('999999999')).toBe(3_600);
    expect(retryAfter('Fri, 31 Dec 1999 23:59:59 GMT')).toBe(0);
    const inAMinute = retryAfter(new Date(Date.now() + 60_000).toUTCString()) ?? 0;
    expect(inAMinute).toBeGreaterThan(50);
    expect(inAMinute).toBeLessThanOrEqual(60);
    for (const text of ['', 'soon', '1.5e9999']) expect(retryAfter(text)).toBeUndefined();
  });
});
