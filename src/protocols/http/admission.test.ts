import { once } from 'node:events';
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { connect, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  testAuthority,
  type KeyAndCertificate,
  type TestAuthority,
} from '../../../test/support/certificates.js';
import { FakeDoorkeeper, grantOf } from '../../../test/support/fake-doorkeeper.js';
import { STORE_NAME, type Grant, type TlsSettings } from '../../core/access.js';
import { CalyxError } from '../../core/errors.js';
import { showsModel } from '../../core/shown-models.js';
import { createHttpServer, listen, replaceCertificate, type HttpServerOptions } from './create-server.js';

let authority: TestAuthority;
let tls: TlsSettings;
let doorkeeper: FakeDoorkeeper;
const servers: FastifyInstance[] = [];

beforeAll(async () => {
  authority = await testAuthority();
  tls = await authority.server();
});

beforeEach(() => {
  doorkeeper = new FakeDoorkeeper();
  doorkeeper.grants.set('reader', grantOf('reader', 'read'));
  doorkeeper.grants.set('acme', grantOf('acme', 'read', 'acme/*'));
  doorkeeper.grants.set('node', grantOf('node', 'node'));
  doorkeeper.grants.set('admin', grantOf('admin', 'admin'));
});

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
  expect(doorkeeper.listeners).toBe(0);
});

/** A server with a route for each kind of access. */
async function start(options: Partial<HttpServerOptions>): Promise<{ url: URL; server: FastifyInstance }> {
  const server = createHttpServer({ logger: pino({ level: 'silent' }), doorkeeper, ...options });
  servers.push(server);
  const whoami = ({ grant }: { grant: Grant }) => ({ name: grant.name, models: grant.models });
  server.get('/open', { config: { access: 'open' } }, whoami);
  server.get('/read', { config: { access: 'read' } }, whoami);
  server.get('/node', { config: { access: 'node' } }, whoami);
  server.get('/admin', { config: { access: 'admin' } }, whoami);
  server.get('/undeclared', whoami);
  server.post('/take', { config: { access: 'read' } }, whoami);
  server.get('/busy', { config: { access: 'read' } }, () => {
    throw new CalyxError('unavailable', 'not now');
  });
  server.get<{ Params: { org: string; name: string } }>(
    '/v1/models/:org/:name',
    { config: { access: 'read' } },
    ({ grant, params }) => {
      if (!showsModel(grant, params)) throw new CalyxError('not-found', 'there is no such model');
      return params;
    },
  );
  // An answer that never ends.
  server.get('/endless', { config: { access: 'read' } }, (_request, reply) => {
    reply.hijack();
    reply.raw.writeHead(200).write('begin');
  });
  return { url: new URL(await listen(server, { host: '127.0.0.1', port: 0 })), server };
}

interface Ask {
  readonly path?: string;
  readonly method?: string;
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly shows?: KeyAndCertificate;
  readonly agent?: Agent | HttpAgent;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: {
    readonly error?: { readonly code: string; readonly message: string };
    readonly name?: string;
  };
}

function open(
  url: URL,
  { path = '/read', method = 'GET', token, headers = {}, shows, agent }: Ask,
): Promise<IncomingMessage> {
  const trust = { ca: authority.ca, servername: STORE_NAME };
  const own = shows === undefined ? {} : { key: shows.key, cert: shows.certificate };
  const all = { ...headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) };
  const request = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    request(new URL(path, url), { method, headers: all, agent: agent ?? false, ...trust, ...own }, resolve)
      .once('error', reject)
      .end();
  });
}

async function ask(url: URL, what: Ask = {}): Promise<Answer> {
  const answer = await open(url, what);
  let text = '';
  for await (const piece of answer.setEncoding('utf8')) text += String(piece);
  return {
    status: answer.statusCode ?? 0,
    headers: answer.headers,
    body: text === '' ? {} : (JSON.parse(text) as Answer['body']),
  };
}

/** The decisions, when there are so many. */
async function decisions(count: number): Promise<FakeDoorkeeper['decisions']> {
  await expect.poll(() => doorkeeper.decisions.length).toBe(count);
  return doorkeeper.decisions;
}

const secured = (): Partial<HttpServerOptions> => ({ tls, requireToken: true });

describe('a listener that requires tokens', () => {
  it.each([
    ['/open', [200, 200, 200, 200, 200, 200]],
    ['/read', [401, 401, 429, 200, 200, 200]],
    ['/node', [401, 401, 429, 403, 200, 200]],
    ['/admin', [401, 401, 429, 403, 403, 200]],
    ['/undeclared', [401, 401, 429, 403, 403, 200]],
    ['/nothing', [401, 401, 429, 404, 404, 404]],
    ['/v1/models/acme', [401, 401, 429, 404, 404, 404]],
    ['/%zz', [401, 401, 429, 400, 400, 400]],
  ])('%s', async (path, statuses) => {
    const { url } = await start(secured());
    const codes: Record<number, string> = {
      401: 'unauthenticated',
      403: 'refused',
      404: 'not-found',
      429: 'limited',
    };
    const tokens = [undefined, 'mistaken', 'flood', 'reader', 'node', 'admin'];
    for (const [index, token] of tokens.entries()) {
      const answer = await ask(url, { path, ...(token === undefined ? {} : { token }) });
      const status = statuses[index] ?? 0;
      expect(answer.status, token).toBe(status);
      if (codes[status] !== undefined) expect(answer.body.error?.code).toBe(codes[status]);
      expect(answer.headers['www-authenticate']).toBe(status === 401 ? 'Bearer realm="calyx"' : undefined);
      expect(answer.headers['retry-after']).toBe(status === 429 ? '10' : undefined);
      expect(JSON.stringify(answer.body)).not.toContain('mistaken');
    }
    if (path === '/open') {
      expect(doorkeeper.decisions).toEqual([]);
      expect(doorkeeper.presented).toEqual([]);
      return;
    }
    const told = await decisions(tokens.length);
    expect(told.map(({ allowed, reason }) => (allowed ? 'allowed' : reason))).toEqual(
      statuses.map((status) => ([401, 403, 429].includes(status) ? codes[status] : 'allowed')),
    );
    expect(told.map(({ grant }) => grant?.name)).toEqual([
      undefined,
      undefined,
      undefined,
      'reader',
      'node',
      'admin',
    ]);
    expect(told[0]).toMatchObject({ door: 'http', address: '127.0.0.1' });
  });

  it('shows nobody no model on open routes', async () => {
    const { url } = await start(secured());
    expect((await ask(url, { path: '/open' })).body).toEqual({ name: 'nobody', models: '-/-' });
  });

  it.each([
    ['basic', 'Basic cmVhZGVyOnJlYWRlcg=='],
    ['the token alone', 'reader'],
    ['nothing after the scheme', 'Bearer '],
    ['two tokens', 'Bearer reader, Bearer reader'],
  ])('takes no other credentials: %s', async (_what, authorization) => {
    const { url } = await start(secured());
    expect((await ask(url, { headers: { authorization } })).status).toBe(401);
  });

  it('takes the scheme in any case', async () => {
    const { url } = await start(secured());
    expect((await ask(url, { headers: { authorization: 'bearer reader' } })).status).toBe(200);
  });

  it('tells which model was asked for, and that another one than the token is for was refused', async () => {
    const { url } = await start({ ...secured(), door: 'stage' });
    const statuses: number[] = [];
    for (const [token, model] of [
      ['acme', 'acme/rose'],
      ['acme', 'other/rose'],
      ['reader', 'other/rose'],
    ] as const)
      statuses.push((await ask(url, { path: `/v1/models/${model}`, token })).status);
    expect(statuses).toEqual([200, 404, 200]);
    const action = 'GET /v1/models/:org/:name';
    expect(await decisions(3)).toMatchObject([
      { door: 'stage', action, subject: 'acme/rose', allowed: true },
      { door: 'stage', action, subject: 'other/rose', allowed: false, reason: 'not-found' },
      { door: 'stage', action, subject: 'other/rose', allowed: true },
    ]);
  });

  it('takes a failure for no refusal', async () => {
    const { url } = await start(secured());
    expect((await ask(url, { path: '/busy', token: 'acme' })).status).toBe(503);
    expect(await decisions(1)).toMatchObject([{ allowed: true }]);
  });

  it.each([
    [{ host: 'a name of ours, or none' }, 403],
    [{ host: 'store.lan' }, 200],
    [{ origin: 'http://evil.example' }, 403],
    [{ origin: 'https://evil.example' }, 403],
    [{ 'sec-fetch-site': 'cross-site' }, 403],
    [{ 'sec-fetch-site': 'same-origin' }, 200],
  ])('checks where requests come from first: %j', async (headers, status) => {
    const { url } = await start(secured());
    expect((await ask(url, { token: 'reader', headers })).status).toBe(status);
    if (status === 403) expect(doorkeeper.presented).toEqual([]);
  });

  it('answers its own origin, with the scheme that it speaks', async () => {
    const { url } = await start(secured());
    expect((await ask(url, { token: 'reader', headers: { origin: url.origin } })).status).toBe(200);
    const plain = url.origin.replace('https', 'http');
    expect((await ask(url, { token: 'reader', headers: { origin: plain } })).status).toBe(403);
  });

  it('ends the connections of strangers after their answer, and reads no more of what they send', async () => {
    const { url } = await start({ requireToken: true });
    const socket = connect(Number(url.port), '127.0.0.1');
    socket.write(
      'POST /take HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 60000\r\n\r\n{',
    );
    let answer = '';
    for await (const piece of socket.setEncoding('latin1')) answer += String(piece);
    expect(answer).toMatch(/^HTTP\/1\.1 401 /);
    expect(answer.toLowerCase()).toContain('\r\nconnection: close\r\n');
  });

  it('keeps connections that have shown a token', async () => {
    const { url } = await start(secured());
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: authority.ca, servername: STORE_NAME });
    await ask(url, { agent, token: 'reader' });
    const [socket] = Object.values(agent.sockets).concat(Object.values(agent.freeSockets)).flat();
    expect((await ask(url, { agent, token: 'wrong' })).status).toBe(401);
    expect((await ask(url, { agent, token: 'reader' })).status).toBe(200);
    expect(Object.values(agent.freeSockets).flat()[0]).toBe(socket);
    agent.destroy();
  });

  it('serves no more connections with tokens than it may, and says whose were too many', async () => {
    const { url } = await start({ ...secured(), maxConnections: 1 });
    const first = await open(url, { path: '/endless', token: 'reader' });
    const second = await ask(url, { token: 'reader' });
    expect([second.status, second.body.error?.code, second.headers['retry-after']]).toEqual([
      503,
      'busy',
      '2',
    ]);
    expect(await decisions(1)).toMatchObject([
      { allowed: false, reason: 'busy', grant: { tokenId: 'reader' } },
    ]);
    first.destroy();
    await expect.poll(async () => (await ask(url, { token: 'reader' })).status).toBe(200);
  });

  it('lets nobody keep another out by many connections: the youngest of these makes room', async () => {
    const { url } = await start({ ...secured(), maxConnections: 3 });
    const answers: IncomingMessage[] = [];
    for (let count = 0; count < 3; count += 1)
      answers.push(await open(url, { path: '/endless', token: 'reader' }));
    expect((await ask(url, { token: 'reader' })).status).toBe(503);
    const cut = once(answers[2] as IncomingMessage, 'error');
    expect((await ask(url, { token: 'node' })).status).toBe(200);
    expect(await cut).toMatchObject([{ code: 'ECONNRESET' }]);
    expect(answers.slice(0, 2).map(({ destroyed }) => destroyed)).toEqual([false, false]);
    for (const answer of answers) answer.destroy();
  });

  it('ends idle connections of a token before it refuses the token another', async () => {
    const { url } = await start({ ...secured(), maxConnections: 2 });
    const agent = new Agent({ keepAlive: true, ca: authority.ca, servername: STORE_NAME });
    await ask(url, { agent, token: 'reader' });
    const [idle] = Object.values(agent.freeSockets).flatMap((sockets) => sockets ?? []);
    const closed = closeOf(idle as Socket);
    const endless = await open(url, { path: '/endless', token: 'reader' });
    expect((await ask(url, { token: 'reader' })).status).toBe(200);
    await closed;
    endless.destroy();
    agent.destroy();
  });

  it('cannot be made without somebody who knows tokens', () => {
    expect(() => createHttpServer({ logger: pino({ level: 'silent' }), requireToken: true })).toThrow(
      'doorkeeper',
    );
  });
});

describe('a listener that asks nobody', () => {
  it.each([
    [undefined, [200, 200, 401, 404]],
    ['wrong', [401, 401, 401, 404]],
    ['reader', [200, 403, 403, 404]],
    ['node', [200, 200, 403, 404]],
    ['admin', [200, 200, 200, 404]],
  ])('checks a token all the same: %s', async (token, statuses) => {
    const { url } = await start({ requireToken: false });
    for (const [index, path] of ['/read', '/node', '/admin', '/nothing'].entries())
      expect((await ask(url, { path, ...(token === undefined ? {} : { token }) })).status, path).toBe(
        statuses[index],
      );
    expect((await ask(url, { path: '/read' })).body.name).toBe('anybody');
  });

  it('needs no doorkeeper', async () => {
    const { url } = await start({ doorkeeper: undefined });
    expect((await ask(url, { path: '/node', token: 'wrong' })).status).toBe(200);
    expect((await ask(url, { path: '/admin', token: 'admin' })).status).toBe(401);
  });
});

describe('certificates', () => {
  const stage = (): Partial<HttpServerOptions> => ({ ...secured(), requestCertificates: true });

  it('of the cluster count, of others or over they do not', async () => {
    doorkeeper.ofCertificate = grantOf('certified', 'read');
    const { url } = await start(stage());
    const other = await testAuthority();
    expect((await ask(url, { shows: await authority.client() })).body.name).toBe('certified');
    expect((await ask(url, { shows: await authority.client(-1000) })).status).toBe(401);
    expect((await ask(url, { shows: await other.client() })).status).toBe(401);
    // Made for servers, not for clients.
    expect((await ask(url, { shows: tls })).status).toBe(401);
    expect((await ask(url)).status).toBe(401);
    expect(doorkeeper.presented.map(({ certificate }) => certificate !== undefined)).toEqual([
      true,
      false,
      false,
      false,
      false,
    ]);
  });

  it('count no more when they are over, though the connection lasts', async () => {
    doorkeeper.ofCertificate = grantOf('certified', 'read');
    const { url } = await start(stage());
    const { key, certificate } = await authority.client(2_000);
    const agent = new Agent({
      keepAlive: true,
      maxSockets: 1,
      ca: authority.ca,
      servername: STORE_NAME,
      key,
      cert: certificate,
    });
    expect((await ask(url, { agent })).status).toBe(200);
    await expect.poll(async () => (await ask(url, { agent })).status, { timeout: 10_000 }).toBe(401);
    agent.destroy();
  });

  it('are not asked for where they do not count', async () => {
    doorkeeper.ofCertificate = grantOf('certified', 'read');
    const { url } = await start(secured());
    expect((await ask(url, { shows: await authority.client() })).status).toBe(401);
  });
});

describe('TLS', () => {
  async function handshake(url: URL, options: object): Promise<TLSSocket> {
    const trust = { ca: authority.ca, servername: STORE_NAME, host: '127.0.0.1', port: Number(url.port) };
    const socket = connectTls({ ...trust, ...options });
    await once(socket, 'secureConnect');
    return socket;
  }

  it.each([
    [{}, 'TLSv1.3', 'TLS_AES_128_GCM_SHA256'],
    [{ maxVersion: 'TLSv1.2' }, 'TLSv1.2', 'ECDHE-ECDSA-AES128-GCM-SHA256'],
  ])('speaks %j', async (options, version, cipher) => {
    const { url } = await start(secured());
    const socket = await handshake(url, { ...options, ALPNProtocols: ['h2', 'http/1.1'] });
    expect([socket.getProtocol(), socket.getCipher().name, socket.alpnProtocol]).toEqual([
      version,
      cipher,
      'http/1.1',
    ]);
    socket.destroy();
  });

  it.each([
    ['TLS 1.1', { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }],
    ['no forward secrecy', { maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256' }],
  ])('refuses %s', async (_what, options) => {
    const { url } = await start(secured());
    await expect(handshake(url, options)).rejects.toThrow();
    expect((await ask(url, { token: 'reader' })).status).toBe(200);
  });

  it('tells who speaks plain HTTP to it what to do', async () => {
    const { url } = await start(secured());
    const answer = await ask(new URL(`http://127.0.0.1:${url.port}/`), { token: 'reader' });
    expect(answer.status).toBe(400);
    expect(answer.body.error).toMatchObject({
      code: 'usage',
      message: expect.stringContaining('HTTPS') as string,
    });
    expect(doorkeeper.presented).toEqual([]);
  });

  it('serves a new certificate while it runs', async () => {
    const { url, server } = await start(secured());
    const certificate = async (): Promise<string> => {
      const socket = await handshake(url, {});
      const { fingerprint256 } = socket.getPeerCertificate();
      socket.destroy();
      return fingerprint256;
    };
    const before = await certificate();
    expect(await certificate()).toBe(before);
    replaceCertificate(server, await authority.server());
    expect(await certificate()).not.toBe(before);
    expect((await ask(url, { token: 'reader' })).status).toBe(200);
  });

  it('closes at once, whoever is in the middle of a handshake', async () => {
    const { url, server } = await start(secured());
    const socket = connect(Number(url.port), '127.0.0.1');
    // The beginning of a record.
    socket.write(Buffer.from([22, 3, 1]));
    await handshake(url, {});
    const before = performance.now();
    await server.close();
    expect(performance.now() - before).toBeLessThan(2_000);
    socket.destroy();
  });
});

/** When a connection is closed, also by a reset. */
function closeOf(socket: Socket): Promise<unknown> {
  return new Promise((resolve) => socket.on('error', () => undefined).once('close', resolve));
}

describe('a token that is revoked', () => {
  it('ends its answers under way and its idle connections, and no others', async () => {
    const { url } = await start(secured());
    const trust = { ca: authority.ca, servername: STORE_NAME };
    const idle = new Agent({ keepAlive: true, ...trust });
    const others = new Agent({ keepAlive: true, ...trust });
    await ask(url, { agent: idle, token: 'reader' });
    await ask(url, { agent: others, token: 'node' });
    const free = (agent: Agent): Socket[] =>
      Object.values(agent.freeSockets).flatMap((sockets) => sockets ?? []);
    const underWay = await open(url, { path: '/endless', token: 'reader' });
    const cut = once(underWay, 'error');
    underWay.resume();
    const [idleSocket] = free(idle);
    const closed = closeOf(idleSocket as Socket);
    doorkeeper.revoke('reader');
    expect(await cut).toMatchObject([{ code: 'ECONNRESET' }]);
    await closed;
    expect(free(others)).toHaveLength(1);
    expect((await ask(url, { token: 'reader' })).status).toBe(401);
    expect((await ask(url, { agent: others, token: 'node' })).status).toBe(200);
    for (const agent of [idle, others]) agent.destroy();
  });

  it('ends a connection that was used with others too', async () => {
    const { url } = await start({ requireToken: false });
    const agent = new HttpAgent({ keepAlive: true, maxSockets: 1 });
    await ask(url, { agent, token: 'reader' });
    await ask(url, { agent, token: 'node' });
    const [socket] = Object.values(agent.freeSockets).flatMap((sockets) => sockets ?? []);
    const closed = closeOf(socket as Socket);
    doorkeeper.revoke('reader');
    await closed;
    agent.destroy();
  });
});
