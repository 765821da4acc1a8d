import { readFile, stat } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import type { TlsSettings } from '../../src/core/access.js';
import { calyxJson, startCalyx } from '../support/cli.js';
import { suiteDirectory, testDirectory } from '../support/directories.js';
import { TINY } from '../support/models.js';
import { startStore, type RunningStore } from '../support/running-store.js';
import { testCluster, tokenOf } from '../support/secure-server.js';
import { joinStringOf, secureStore } from '../support/secured-front.js';

const scratch = suiteDirectory();
const MODEL = 'org/secretly-named';
let store: RunningStore;

beforeAll(async () => {
  await calyxJson('add', TINY, '--name', MODEL, '--data', join(scratch, 'data'));
  store = await startStore(join(scratch, 'data'));
  return async () => {
    await store.stop();
  };
});

/** Somebody between a client and a store. */
interface Between {
  /** `HOST:PORT`. */
  readonly address: string;
  /** All that it could read, of both directions. */
  readonly seen: () => Buffer;
  /** Connections that were made to it. */
  readonly connections: () => number;
}

/**
 * Passes everything on, and keeps what it can read.
 *
 * @param own speaks TLS with the client as this server, and with the store as a client that trusts anybody; without it, bytes pass as they are
 */
async function between(port: number, own?: TlsSettings): Promise<Between> {
  const pieces: Buffer[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const keep = (socket: Socket): Socket => {
    sockets.add(socket);
    return socket.on('error', () => undefined);
  };
  const onClient = (client: Socket): void => {
    const target = { port, host: '127.0.0.1' };
    const inner = own === undefined ? connect(target) : connectTls({ ...target, rejectUnauthorized: false });
    keep(client).on('data', (piece: Buffer) => pieces.push(piece)).pipe(keep(inner));
    inner.on('data', (piece: Buffer) => pieces.push(piece)).pipe(client);
    client.once('close', () => inner.destroy());
    inner.once('close', () => client.destroy());
  };
  const server: Server =
    own === undefined
      ? createServer(onClient)
      : createTlsServer({ key: own.key, cert: own.certificate }, onClient).on('tlsClientError', () => undefined);
  server.on('connection', (socket: Socket) => {
    connections += 1;
    keep(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { address, seen: () => Buffer.concat(pieces), connections: () => connections };
} // prettier-ignore

const fetchArgs = (into: string): string[] => ['fetch', MODEL, '--blocks', '0:2', '--into', into, '--json'];

/** A run of weights that stands in the middle of a part. */
async function runOfWeights(slice: string): Promise<Buffer> {
  const part = await readFile(join(slice, 'block-00001.safetensors'));
  const at = Math.floor(part.byteLength / 2);
  return part.subarray(at, at + 48);
}

/** Whether the token, the name of the model, weights, and HTTP can be seen. */
async function found(seen: Buffer, token: string, slice: string): Promise<Record<string, boolean>> {
  return {
    token: seen.includes(token) || seen.includes(token.split('.')[2] ?? ''),
    model: seen.includes('secretly-named'),
    weights: seen.includes(await runOfWeights(slice)),
    http: seen.includes('HTTP/1.1'),
  };
}

test('somebody with another identity in between gets no token and no weights', async () => {
  const [cluster, other] = [await testCluster(), await testCluster()];
  const front = await secureStore(cluster, store.url);
  const own = await other.serverTls(['127.0.0.1']);
  const [leaf] = /-----BEGIN[^]*?-----END CERTIFICATE-----\n/.exec(own.certificate) ?? [];
  const plain = await between(Number(front.url.port), own);
  // The certificate of a cluster is no secret, so this one shows it as if it were its issuer.
  const sly = await between(Number(front.url.port), { ...own, certificate: `${leaf ?? ''}${cluster.ca}` });
  for (const proxy of [plain, sly]) {
    const config = testDirectory();
    const into = join(testDirectory(), 'slice');
    const text = joinStringOf(cluster, proxy.address);
    const joined = await startCalyx(['join', text], { XDG_CONFIG_HOME: config }).ended;
    expect(joined).toMatchObject({ code: 1, stdout: '' });
    const [direct] = [joinStringOf(cluster, front.address)];
    expect(await startCalyx(['join', direct], { XDG_CONFIG_HOME: config }).ended).toMatchObject({ code: 0 });
    const atStore = ['--store', `https://${proxy.address}`];
    const fetched = await startCalyx([...fetchArgs(into), ...atStore], { XDG_CONFIG_HOME: config }).ended;
    expect(fetched).toMatchObject({ code: 1, stdout: '' });
    const inEnvironment = await startCalyx(fetchArgs(into), { XDG_CONFIG_HOME: config, CALYX_STORE: text }).ended;
    expect(inEnvironment).toMatchObject({ code: 1, stdout: '' });
    for (const { stderr } of [joined, fetched, inEnvironment]) {
      expect(stderr).toContain(`${proxy.address} is not a store of this cluster`);
      expect(stderr).toContain('nothing was sent');
      expect(stderr).not.toContain(tokenOf(cluster));
    }
    expect(proxy.connections()).toBeGreaterThanOrEqual(3);
    expect(proxy.seen().toString('latin1')).toBe('');
    await expect(stat(into)).rejects.toThrow('ENOENT');
  }
  // All that reached the store is that it was joined directly.
  expect(front.asked.map(({ path }) => path)).toEqual(['/v1/whoami', '/v1/whoami']);
}); // prettier-ignore

test('somebody who only passes bytes on sees neither the token nor the model', async () => {
  const cluster = await testCluster();
  const front = await secureStore(cluster, store.url);
  const proxy = await between(Number(front.url.port));
  const config = testDirectory();
  const into = join(testDirectory(), 'slice');
  const text = joinStringOf(cluster, proxy.address);
  expect(await startCalyx(['join', text], { XDG_CONFIG_HOME: config }).ended).toMatchObject({ code: 0 });
  expect(await startCalyx(fetchArgs(into), { XDG_CONFIG_HOME: config }).ended).toMatchObject({ code: 0 });
  const seen = proxy.seen();
  expect(seen.byteLength).toBeGreaterThan((await stat(join(into, 'block-00001.safetensors'))).size);
  expect(await found(seen, tokenOf(cluster), into)).toEqual({ token: false, model: false, weights: false, http: false }); // prettier-ignore

  // That it would have been found: the same between a client and an open store.
  const open = await between(store.port);
  const again = join(testDirectory(), 'slice');
  const atStore = ['--store', `http://${open.address}`];
  expect(await startCalyx([...fetchArgs(again), ...atStore], { XDG_CONFIG_HOME: config }).ended).toMatchObject({ code: 0 }); // prettier-ignore
  expect(await found(open.seen(), tokenOf(cluster), again)).toEqual({ token: false, model: true, weights: true, http: true }); // prettier-ignore
});
