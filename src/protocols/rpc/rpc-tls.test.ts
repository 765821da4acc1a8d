import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { connect as connectTls, TLSSocket, type ConnectionOptions } from 'node:tls';
import { X509Certificate } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/expect-error.js';
import { clientExtensions, SERVER_EXTENSIONS, testAuthority } from '../../../test/support/openssl-pki.js';
import { call, RawConnection, record, words } from '../../../test/support/raw-rpc.js';
import type { TlsSettings } from '../../core/access.js';
import { errorMessage } from '../../core/errors.js';
import { opaque, uint32 } from '../xdr/codec.js';
import { createRpcServer, type RpcServer } from './create-rpc-server.js';
import { procedure, type RpcPeer, type RpcProcedure, type RpcProgram } from './rpc-program.js';
import { RpcClient } from './rpc-client.js';
import type { RpcServerOptions } from './server-options.js';
import type { ClientTls } from './start-tls.js';

const NFS3 = { program: 100_003, version: 3 };
const authority = testAuthority('a cluster');
const other = testAuthority('another cluster');
const store = authority.issue('store', SERVER_EXTENSIONS);
const guest = authority.issue('guest', clientExtensions('calyx://grant/0123456789ab?role=read'));
const stranger = other.issue('stranger', clientExtensions('calyx://grant/0123456789ab?role=admin'));
const settings: TlsSettings = { key: store.key, certificate: store.certificate, ca: authority.ca };

const bytes = (digits: string): Buffer => Buffer.from(digits.replaceAll(/\s/g, ''), 'hex');

/** RFC 9289, section 4.1: a call of NULL with flavor 7, an empty credential and an empty verifier; here with xid 0x01020304. */
const PROBE = bytes(`80000028 01020304 00000000 00000002 000186a3 00000003 00000000
  00000007 00000000 00000000 00000000`);
/** Accepted, a verifier of flavor AUTH_NONE with the 8 characters of STARTTLS, success. */
const STARTTLS = '8000002001020304000000010000000000000000000000085354415254544c5300000000';

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

interface Served {
  readonly server: RpcServer;
  readonly port: number;
  readonly peers: RpcPeer[];
  readonly errors: string[];
  readonly open: () => Promise<RawConnection>;
}

const NULL: RpcProcedure = { name: 'NULL', call: () => undefined };
const DOUBLE = procedure({ name: 'DOUBLE', args: uint32, result: uint32, handle: (value) => 2 * value });
/** As many bytes as asked for. */
const BYTES = procedure({
  name: 'BYTES',
  args: uint32,
  result: opaque(64 * 1024 * 1024),
  handle: (length) => Buffer.alloc(length, 0x5a),
});

async function serve(options: RpcServerOptions = {}, programs: readonly RpcProgram[] = []): Promise<Served> {
  const peers: RpcPeer[] = [];
  const errors: string[] = [];
  const program: RpcProgram = {
    name: 'test',
    program: 100_003,
    versions: new Map([
      [
        3,
        new Map([
          [0, NULL],
          [1, DOUBLE],
          [2, BYTES],
        ]),
      ],
    ]),
  };
  const server = createRpcServer([program, ...programs], {
    closeTimeoutMs: 0,
    tls: () => settings,
    admit: (peer) => peers.push(peer) > 0,
    onError: (_what, _peer, error) => void errors.push(errorMessage(error)),
    ...options,
  });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  closing.push(() => server.close());
  const open = async (): Promise<RawConnection> => {
    const connection = await RawConnection.open(port);
    closing.push(() => connection.destroy());
    return connection;
  };
  return { server, port, peers, errors, open };
}

/** Asks for TLS, and makes the handshake that Node's own client makes. */
async function startTls(connection: RawConnection, options: ConnectionOptions = {}): Promise<RawConnection> {
  connection.send(PROBE);
  expect(await connection.receiveRecord()).toBe(STARTTLS);
  return secure(connection, options);
}

async function secure(connection: RawConnection, options: ConnectionOptions = {}): Promise<RawConnection> {
  const { socket } = connection;
  socket.removeAllListeners('data');
  const secured = connectTls({
    socket,
    ca: authority.ca,
    servername: 'store.calyx.internal',
    ALPNProtocols: ['sunrpc'],
    ...options,
  });
  await once(secured, 'secureConnect');
  closing.push(() => void secured.destroy());
  return RawConnection.on(secured);
}

const double = (xid: number, value: number): Buffer => call(xid, { ...NFS3, procedure: 1 }, words(value));
const doubled = (xid: number, value: number): string =>
  record(words(xid, 1, 0, 0, 0, 0, value)).toString('hex');
const tooWeak = (xid: number): string => record(words(xid, 1, 1, 1, 5)).toString('hex');
const badCredential = (xid: number): string => record(words(xid, 1, 1, 1, 1)).toString('hex');

describe('RPC with TLS (RFC 9289)', () => {
  it('answers the probe with STARTTLS, and everything after it within TLS 1.3', async () => {
    const { open, peers, server } = await serve();
    const secured = await startTls(await open());
    const { socket } = secured;
    if (!(socket instanceof TLSSocket)) throw new Error('this is not TLS');
    expect([socket.getProtocol(), socket.alpnProtocol, socket.authorized]).toEqual([
      'TLSv1.3',
      'sunrpc',
      true,
    ]);
    secured.send(double(7, 21));
    expect(await secured.receiveRecord()).toBe(doubled(7, 42));
    expect(peers.map(({ security, certificate }) => [security, certificate])).toEqual([
      ['none', undefined],
      ['tls', undefined],
    ]);
    expect(server.connections()).toBe(1);
  });

  it('tells what certificate the client has, if the CA of the server issued it', async () => {
    const { open, peers } = await serve();
    await startTls(await open(), { key: guest.key, cert: guest.certificate });
    await startTls(await open(), { key: stranger.key, cert: stranger.certificate });
    // One for servers does not say who a client is.
    await startTls(await open(), { key: store.key, cert: store.certificate });
    // A client is done before the server has seen its certificate.
    await expect.poll(() => peers.filter(({ security }) => security === 'tls').length).toBe(3);
    const shown = peers.filter(({ security }) => security === 'tls').map(({ certificate }) => certificate);
    expect(shown.map((der) => (der === undefined ? undefined : new X509Certificate(der).subject))).toEqual([
      'CN=guest',
      undefined,
      undefined,
    ]);
  });

  it('goes on with clients that name no protocol, as tlshd, and refuses those that name others only', async () => {
    const { open } = await serve();
    const secured = await startTls(await open(), {
      ALPNProtocols: undefined,
    });
    secured.send(double(1, 2));
    expect(await secured.receiveRecord()).toBe(doubled(1, 4));
    await expect(startTls(await open(), { ALPNProtocols: ['h2'] })).rejects.toThrow(
      /no application protocol/,
    );
  });

  it('refuses TLS 1.2', async () => {
    const { open, errors } = await serve();
    await expect(startTls(await open(), { maxVersion: 'TLSv1.2' })).rejects.toThrow(/protocol version/);
    await expect.poll(() => errors).toEqual([expect.stringMatching(/^its TLS handshake failed: .*protocol/)]);
  });

  const [flavor7, none] = ['00000007 00000000', '00000000 00000000'];
  it.each([
    [
      'another procedure',
      `80000028 00000005 00000000 00000002 000186a3 00000003 00000001 ${flavor7} ${none}`,
      1,
    ],
    [
      'a credential',
      `8000002c 00000005 00000000 00000002 000186a3 00000003 00000000 00000007 00000004 abcdabcd ${none}`,
      1,
    ],
    [
      'a verifier',
      `8000002c 00000005 00000000 00000002 000186a3 00000003 00000000 ${flavor7} 00000000 00000004 abcdabcd`,
      3,
    ],
    [
      'a flavor of verifier',
      `80000028 00000005 00000000 00000002 000186a3 00000003 00000000 ${flavor7} 00000001 00000000`,
      3,
    ],
  ])('turns a probe with %s away', async (_what, probe, status) => {
    const connection = await (await serve()).open();
    connection.send(bytes(probe));
    expect(await connection.receiveRecord()).toBe(record(words(5, 1, 1, 1, status)).toString('hex'));
    connection.send(double(6, 1));
    expect(await connection.receiveRecord()).toBe(doubled(6, 2));
  });

  it('answers a probe for a program that is not there without beginning TLS', async () => {
    const connection = await (await serve()).open();
    connection.send(record(words(5, 0, 2, 100_099, 1, 0, 7, 0, 0, 0)));
    expect(await connection.receiveRecord()).toBe(record(words(5, 1, 0, 0, 0, 1)).toString('hex'));
  });

  it('turns a probe away within TLS, and goes on', async () => {
    const secured = await startTls(await (await serve()).open());
    secured.send(PROBE);
    expect(await secured.receiveRecord()).toBe(badCredential(0x01020304));
    secured.send(double(6, 1));
    expect(await secured.receiveRecord()).toBe(doubled(6, 2));
  });

  it('takes new settings for the handshakes that follow', async () => {
    let current = settings;
    const { open } = await serve({ tls: () => current });
    await startTls(await open());
    const renewed = other.issue('store', SERVER_EXTENSIONS);
    current = { key: renewed.key, certificate: renewed.certificate, ca: other.ca };
    await expect(startTls(await open())).rejects.toThrow(/self-signed certificate/);
    await startTls(await open(), { ca: other.ca });
  });
});

describe('what is not protected is not taken for it', () => {
  it('drops who sends calls with the probe, before and after it', async () => {
    for (const sent of [
      Buffer.concat([PROBE, double(9, 1)]),
      Buffer.concat([double(9, 1), PROBE]),
      Buffer.concat([PROBE, PROBE]),
      Buffer.concat([PROBE, bytes('80')]),
    ]) {
      const { open, errors, peers } = await serve();
      const connection = await open();
      connection.send(sent);
      await connection.closed;
      expect(errors).toEqual(['it sent other calls around its probe for TLS']);
      expect(peers.map(({ security }) => security)).toEqual(['none']);
    }
  });

  it('drops who sends calls in the clear in place of a handshake, and answers none', async () => {
    const { open, errors, server } = await serve();
    const connection = await open();
    connection.send(PROBE);
    await connection.receiveRecord();
    connection.send(double(9, 1));
    await connection.closed;
    await expect(connection.receive(25)).rejects.toThrow();
    expect(errors).toEqual([expect.stringMatching(/^its TLS handshake failed: .*wrong version number/)]);
    expect(server.load()).toEqual({ connections: 0, calls: 0, callBytes: 0, replyBytes: 0 });
  });

  it('forgets what stood in the clear before the probe: the connection within TLS is another', async () => {
    const { open, peers } = await serve();
    const connection = await open();
    connection.send(double(1, 1));
    await connection.receiveRecord();
    const secured = await startTls(connection);
    secured.send(double(2, 2));
    expect(await secured.receiveRecord()).toBe(doubled(2, 4));
    expect(peers.map(({ security }) => security)).toEqual(['none', 'tls']);
  });

  it('answers only NULL and the probe without TLS where TLS is required', async () => {
    const { open, peers } = await serve({ requireTls: true });
    const connection = await open();
    connection.send(double(1, 1));
    expect(await connection.receiveRecord()).toBe(tooWeak(1));
    connection.send(call(2, { ...NFS3, procedure: 0 }));
    expect(await connection.receiveRecord()).toBe(record(words(2, 1, 0, 0, 0, 0)).toString('hex'));
    const secured = await startTls(connection);
    secured.send(double(3, 3));
    expect(await secured.receiveRecord()).toBe(doubled(3, 6));
    expect(peers.map(({ security }) => security)).toEqual(['none', 'tls']);
  });

  it('answers programs that say so also without TLS', async () => {
    const mount: RpcProgram = {
      name: 'mount',
      program: 100_005,
      versions: new Map([[3, new Map([[1, DOUBLE]])]]),
      withoutTls: true,
    };
    const { open } = await serve({ requireTls: true }, [mount]);
    const connection = await open();
    connection.send(call(1, { program: 100_005, version: 3, procedure: 1 }, words(4)));
    expect(await connection.receiveRecord()).toBe(doubled(1, 8));
    connection.send(double(2, 2));
    expect(await connection.receiveRecord()).toBe(tooWeak(2));
  });

  it('asks again within TLS whether a client is admitted', async () => {
    const { open } = await serve({ admit: ({ certificate }) => certificate !== undefined });
    const connection = await open();
    connection.send(double(1, 1));
    expect(await connection.receiveRecord()).toBe(tooWeak(1));
    const secured = await startTls(connection, { key: guest.key, cert: guest.certificate });
    secured.send(double(2, 2));
    expect(await secured.receiveRecord()).toBe(doubled(2, 4));
    const without = await startTls(await open());
    without.send(double(3, 3));
    expect(await without.receiveRecord()).toBe(tooWeak(3));
  });
});

describe('limits within TLS', () => {
  it('drops a handshake that is not done in time', async () => {
    const { open, errors, server } = await serve({ handshakeTimeoutMs: 50 });
    const connection = await open();
    connection.send(PROBE);
    await connection.receiveRecord();
    await connection.closed;
    expect(errors).toEqual([expect.stringMatching(/handshake timeout/i)]);
    expect(server.connections()).toBe(0);
  });

  it('is not put off by a handshake that comes byte by byte', async () => {
    const { open, errors } = await serve({ handshakeTimeoutMs: 200 });
    const connection = await open();
    connection.send(PROBE);
    await connection.receiveRecord();
    // The head of a record with a ClientHello of 508 bytes, and then its bytes, each well within the time.
    connection.send(bytes('16030102000100 01fc0303'));
    const trickle = setInterval(() => connection.send(bytes('5a')), 20);
    closing.push(() => clearInterval(trickle));
    const began = performance.now();
    await connection.closed;
    expect(performance.now() - began).toBeLessThan(2_000);
    expect(errors).toEqual([expect.stringMatching(/handshake timeout/i)]);
  });

  it('gives the places of half handshakes to others', async () => {
    const { open, server } = await serve({ maxConnections: 3 });
    const half = await Promise.all([open(), open(), open()]);
    for (const connection of half) {
      connection.send(PROBE);
      await connection.receiveRecord();
    }
    const connection = await open();
    connection.send(double(1, 1));
    expect(await connection.receiveRecord()).toBe(doubled(1, 2));
    await half[0].closed;
    expect(server.connections()).toBe(3);
  });

  it('drops a client that takes nothing of its replies', async () => {
    const { open, errors, server } = await serve({ checkMs: 20, writeTimeoutMs: 100 });
    const secured = await startTls(await open());
    secured.send(call(1, { ...NFS3, procedure: 2 }, words(48 * 1024 * 1024)));
    secured.stopReading();
    await expect.poll(() => server.connections(), { timeout: 10_000 }).toBe(0);
    expect(errors).toEqual(['it took nothing of its replies for 0.1 s']);
    expect(server.load().replyBytes).toBe(0);
  });

  it('sends long replies whole, also to a client that is done sending', async () => {
    const { open, server } = await serve();
    const secured = await startTls(await open());
    secured.send(call(1, { ...NFS3, procedure: 2 }, words(8 * 1024 * 1024)));
    const reply = await secured.receive(4 + 24 + 4 + 8 * 1024 * 1024);
    expect(reply.subarray(32).every((byte) => byte === 0x5a)).toBe(true);
    secured.socket.end();
    await secured.closed;
    await expect.poll(() => server.load()).toEqual({ connections: 0, calls: 0, callBytes: 0, replyBytes: 0 });
  });

  it('closes the connections of some peers at once, and no others', async () => {
    const { open, server } = await serve();
    const mine = await startTls(await open(), { key: guest.key, cert: guest.certificate });
    const others = await startTls(await open());
    server.disconnect(({ certificate }) => certificate !== undefined);
    await mine.closed;
    others.send(double(1, 1));
    expect(await others.receiveRecord()).toBe(doubled(1, 2));
  });

  it('closes while handshakes are under way', async () => {
    const { open, server } = await serve();
    const connection = await open();
    connection.send(PROBE);
    await connection.receiveRecord();
    await server.close();
    await connection.closed;
  });
});

describe('a client of ours', () => {
  const NFS = { program: 100_003, version: 3 };
  const connect = (port: number, tls: Partial<ClientTls> = {}): Promise<RpcClient> =>
    RpcClient.connect({
      host: '127.0.0.1',
      port,
      timeoutMs: 5_000,
      tls: { ...NFS, ca: authority.ca, ...tls },
    });
  const doubles = async (client: RpcClient): Promise<number> => {
    const result = await client.call(100_003, 3, 1, uint32, 21, uint32);
    client.close();
    return result;
  };

  it('calls within TLS, with a certificate or without', async () => {
    const { port, peers } = await serve({ requireTls: true });
    expect(await doubles(await connect(port))).toBe(42);
    expect(await doubles(await connect(port, { key: guest.key, certificate: guest.certificate }))).toBe(42);
    expect(await doubles(await connect(port, { ca: undefined }))).toBe(42);
    const secured = peers.filter(({ security }) => security === 'tls');
    expect(secured.map(({ certificate }) => certificate !== undefined)).toEqual([false, true, false]);
  });

  it('does not speak with a server of another cluster, and says so', async () => {
    const { port } = await serve();
    await expectError(() => connect(port, { ca: other.ca }), 'unauthenticated', /TLS handshake .* failed/);
  });

  it('says that a server does not offer TLS', async () => {
    const server = createRpcServer([]);
    const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
    closing.push(() => server.close());
    await expectError(() => connect(port), 'unsupported', /does not offer RPC-with-TLS/);
  });

  it.each([
    [
      'corrupt',
      /sent more than the answer/,
      Buffer.concat([bytes(STARTTLS.replace('01020304', '00000001')), bytes('80')]),
    ],
    ['corrupt', /no RPC message/, bytes('ffffffff')],
    ['unsupported', /does not offer/, record(words(1, 1, 0, 0, 0, 0))],
    ['unsupported', /does not offer/, record(words(1, 1, 0, 0, 4, 0x53544152, 0))],
  ] as const)('refuses an answer in which is something else: %s %s', async (code, message, answer) => {
    const server = createServer(
      (socket) => void socket.on('error', () => undefined).once('data', () => socket.write(answer)),
    );
    await once(server.listen(0, '127.0.0.1'), 'listening');
    closing.push(() => void server.close());
    await expectError(() => connect((server.address() as AddressInfo).port), code, message);
  });

  it('does not wait for ever for an answer', async () => {
    const server = createServer((socket) => void socket.on('error', () => undefined).resume());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    closing.push(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const connecting = RpcClient.connect({ host: '127.0.0.1', port, timeoutMs: 50, tls: NFS });
    await expectError(() => connecting, 'timeout', /did not begin TLS/);
  });
});
