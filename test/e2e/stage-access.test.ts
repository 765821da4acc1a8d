import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent, createServer, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { runNode, type NodeConfig, type RunningNode } from '../../src/app/node/run-node.js';
import { ModelRunner } from '../../src/app/run/model-runner.js';
import { NodeConnections } from '../../src/app/run/node-connections.js';
import { ClusterCertificate } from '../../src/app/node/cluster-certificate.js';
import { isSecured } from '../../src/app/node/secured-access.js';
import type { StoreAccess } from '../../src/core/access.js';
import { wallClock } from '../../src/core/clock.js';
import { parseModelSpec } from '../../src/core/names.js';
import { StageClient } from '../../src/inference/stage-client.js';
import { StoreClient } from '../../src/protocols/http/store-client.js';
import { calyxJson } from '../support/cli.js';
import { ROOT, suiteDirectory } from '../support/directories.js';
import { expectError } from '../support/expect-error.js';
import { startStore, type RunningStore } from '../support/running-store.js';
import { ScriptedStore, tokenText } from '../support/scripted-store.js';
import { grantOf, SmallPki, tokenId, type Pair, type Says } from '../support/small-pki.js';

const TINY = join(ROOT, 'models/tiny-calyx');
const MODEL = 'acme/tiny';
const directory = suiteDirectory();
const never = new AbortController().signal;
const servers: { close(): unknown }[] = [];
const nodes: RunningNode[] = [];
/** Ends what lasts for all tests; also if not all of it could be started. */
const closers: (() => Promise<unknown>)[] = [];
let store: RunningStore;
let pki: SmallPki;
let front: ScriptedStore;
let revision: string;
let node: RunningNode;
let tokens = 0;

/** A new token, and how it is used at the front. */
function newToken(role: 'read' | 'node', models = '*', more: Says = {}): { id: string; access: StoreAccess } {
  const id = tokenId((tokens += 1));
  const token = tokenText(id, pki.certificate);
  front.tokens.set(token, { ...grantOf(id, role, models), ...more });
  return { id, access: front.access(token) };
}

/** What a node must not be started with. */
interface Refused extends Partial<NodeConfig> {
  readonly secured?: boolean;
}

function startNode(
  name: string,
  blocks: [number, number],
  stores: StoreAccess,
  more: Partial<NodeConfig> = {},
): Promise<RunningNode> {
  return runNode({
    stores,
    source: {
      from: 'stores',
      spec: parseModelSpec(`${MODEL}@${revision}`),
      blocks: { start: blocks[0], end: blocks[1] },
      dataDirectory: join(directory, name),
      budgetBytes: undefined,
    },
    name,
    listen: { host: '127.0.0.1', port: 0 },
    insecure: false,
    hostNames: [],
    advertise: undefined,
    threads: 1,
    logger: pino({ level: 'silent' }),
    signal: never,
    ...more,
  });
}

/** Asks a node as anybody could who has (or has not) a key and certificate; not by our own client. */
function get(path: string, pair?: Pair, agent?: Agent): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const tls = pair === undefined ? {} : { key: pair.key, cert: pair.certificate };
    const options = { ...tls, ca: pki.certificate, servername: 'node.calyx.internal', agent };
    httpsRequest(`${node.url}${path}`, options, (answer) => {
      let body = '';
      answer.setEncoding('utf8').on('data', (piece: string) => (body += piece));
      answer.once('end', () => resolve({ status: answer.statusCode ?? 0, body })).once('error', reject);
    })
      .once('error', reject)
      .end();
  });
}

/** A server that shows any certificate, and counts what it is asked. */
async function impostor(pair: Pair): Promise<{ url: string; asked: () => number }> {
  let asked = 0;
  const server = createServer({ key: pair.key, cert: pair.certificate }, (_request, response) => {
    asked += 1;
    response.end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  servers.push({ close: () => server.close(() => undefined).closeAllConnections() });
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, asked: () => asked };
}

/** Connects to a node as `calyx run` does. */
async function meet(url: string): Promise<unknown> {
  const { access } = newToken('read');
  if (!isSecured(access)) throw new Error('it has a credential');
  const certificate = await ClusterCertificate.obtain(access, never);
  const connections = new NodeConnections(certificate, parseModelSpec(MODEL).model);
  try {
    const client = await StageClient.connect(url, { model: MODEL, revision }, connections.options(url));
    return client.description;
  } finally {
    await connections.close();
    await certificate.close();
  }
}

/** The serial number of the certificate that a node shows. */
function shownBy(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const { hostname: host, port } = new URL(url);
    const socket: TLSSocket = connectTls({
      host,
      port: Number(port),
      ca: pki.certificate,
      servername: 'node.calyx.internal',
    });
    socket.once('error', reject).once('secureConnect', () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
  });
}

beforeAll(async () => {
  store = await startStore(join(directory, 'store'));
  closers.push(() => store.stop());
  const added = await calyxJson('add', TINY, '--name', MODEL, '--data', join(directory, 'store'));
  revision = String(added['revision']);
  pki = await SmallPki.make();
  front = await ScriptedStore.start(pki, store.url);
  closers.push(() => front.close());
  node = await startNode('first', [0, 6], newToken('node', 'acme/*').access);
  closers.push(() => node.close());
}, 60_000);
afterEach(async () => {
  front.away = false;
  for (const server of servers.splice(0)) server.close();
  await Promise.all(nodes.splice(0).map((one) => one.close()));
});
afterAll(async () => {
  for (const close of closers.reverse()) await close();
});

describe('who may use a node', () => {
  it('a certificate of the cluster that shows its model', async () => {
    const read = await pki.pair(grantOf(tokenId(901), 'read', 'acme/t*'));
    const { status, body } = await get('/v1/stage', read);
    expect({ status, ...(JSON.parse(body) as object) }).toMatchObject({
      status: 200,
      model: MODEL,
      revision,
    });
    expect(await get('/metrics', read)).toMatchObject({ status: 200 });
  });

  it('nobody without one, but for its health', async () => {
    expect(await get('/v1/stage')).toMatchObject({ status: 401 });
    expect(await get('/metrics')).toMatchObject({ status: 401 });
    expect(await get('/healthz')).toMatchObject({ status: 200, body: '{"status":"ok"}' });
  });

  it.each<[string, (id: string) => Promise<Pair>, number]>([
    ['of another cluster', async (id) => (await SmallPki.make()).pair(grantOf(id, 'admin')), 401],
    ['that is over', (id) => pki.pair({ ...grantOf(id, 'admin'), from: -7_200_000, to: -2_000 }), 401],
    ['that has not begun', (id) => pki.pair({ ...grantOf(id, 'admin'), from: 60_000 }), 401],
    ['without a grant', () => pki.pair({}), 401],
    ['of a server alone', (id) => pki.pair({ ...grantOf(id, 'node'), usages: [] }), 401],
    ['for other models', (id) => pki.pair(grantOf(id, 'admin', 'beta/*')), 404],
  ])('not one %s', async (_what, make, status) => {
    const answer = await get('/v1/stage', await make(tokenId(902)));
    expect(answer.status).toBe(status);
    expect(answer.body).not.toContain(MODEL);
  });

  it('is closed to a token that is revoked within 2 s, also on its open connections', async () => {
    const pair = await pki.pair(grantOf(tokenId(903), 'read'));
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect(await get('/v1/stage', pair, agent)).toMatchObject({ status: 200 });
    const [kept] = Object.values(agent.freeSockets).flat();
    const cut = new Promise<number>((resolve) => kept?.once('close', () => resolve(performance.now())));
    const revokedAt = performance.now();
    front.deny(tokenId(903));
    expect((await cut) - revokedAt).toBeLessThan(2_000);
    expect(await get('/v1/stage', pair, agent)).toMatchObject({ status: 401 });
    agent.destroy();
  });

  it('keeps the last list while the store is away, and takes up new ones when it is back', async () => {
    front.deny(tokenId(904));
    const gone = await pki.pair(grantOf(tokenId(904), 'read'));
    await vi.waitFor(async () => expect(await get('/v1/stage', gone)).toMatchObject({ status: 401 }));
    front.away = true;
    front.hangUp();
    expect(await get('/v1/stage', gone)).toMatchObject({ status: 401 });
    front.deny(tokenId(905));
    front.away = false;
    const later = await pki.pair(grantOf(tokenId(905), 'read'));
    await vi.waitFor(async () => expect(await get('/v1/stage', later)).toMatchObject({ status: 401 }), {
      timeout: 5_000,
    });
    expect(await get('/v1/stage', gone)).toMatchObject({ status: 401 });
  });
});

describe('who may be a node', () => {
  it('one that shows a certificate of a node for this model', async () => {
    expect(await meet(node.url)).toMatchObject({ model: MODEL });
  });

  it.each<[string, () => Promise<Pair>, string, string]>([
    ['a reader', () => pki.pair(grantOf(tokenId(911), 'read')), 'unavailable', 'not one of a node'],
    [
      'a reader who was given the name of a node',
      () => pki.pair({ ...grantOf(tokenId(911), 'node'), uri: grantOf(tokenId(911), 'read').uri ?? '' }),
      'refused',
      'not one of a node',
    ],
    [
      'a node of other models',
      () => pki.pair(grantOf(tokenId(912), 'node', 'beta/*', 'bert')),
      'refused',
      '(bert) is one of a node of beta/*, not of acme/tiny',
    ],
    [
      'a node whose certificate is over',
      () => pki.pair({ ...grantOf(tokenId(913), 'node'), to: -2_000 }),
      'unavailable',
      'is over',
    ],
    [
      'a node of another cluster',
      async () => (await SmallPki.make()).pair(grantOf(tokenId(914), 'node')),
      'unavailable',
      'not show a certificate of this cluster',
    ],
  ])('not %s, who is asked nothing', async (_who, make, code, says) => {
    const { url, asked } = await impostor(await make());
    await expectError(() => meet(url), code as 'refused', url, says);
    expect(asked()).toBe(0);
  });

  it('not a node of another cluster either where the environment says not to look', async () => {
    const { url, asked } = await impostor(await (await SmallPki.make()).pair(grantOf(tokenId(916), 'node')));
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    try {
      await expectError(() => meet(url), 'unavailable', url, 'not show a certificate of this cluster');
    } finally {
      vi.unstubAllEnvs();
    }
    expect(asked()).toBe(0);
  });

  it('nobody at an address without TLS', async () => {
    await expectError(() => meet(store.url), 'refused', store.url, 'without TLS', 'calyx join');
  });

  it('a node is no store: no token is sent to it', async () => {
    const { url, asked } = await impostor(await pki.pair(grantOf(tokenId(915), 'node')));
    const { access } = newToken('read');
    const client = new StoreClient({ ...access, urls: [new URL(url)] });
    try {
      await expect(client.resolve(parseModelSpec(`${MODEL}@${revision}`))).rejects.toThrow(url);
      expect(asked()).toBe(0);
    } finally {
      await client.close();
    }
  });

  it.each([
    [
      'beyond loopback without a cluster',
      { listen: { host: '192.0.2.1', port: 0 } },
      'refused',
      'calyx join',
    ],
    ['with a cluster and --insecure', { secured: true, insecure: true }, 'usage', '--insecure'],
    [
      'with a cluster at an address without TLS',
      { secured: true, advertise: new URL('http://192.0.2.1:7071') },
      'usage',
      '--advertise https://192.0.2.1:7071',
    ],
  ] as const)('not %s', async (_what, { secured = false, ...config }: Refused, code, says) => {
    const stores = secured ? newToken('node').access : { urls: [new URL(store.url)], credential: undefined };
    await expectError(() => startNode('refused', [0, 1], stores, config), code, says);
  });

  it('not the holder of a token that may only read', async () => {
    await expectError(() => startNode('reader', [0, 1], newToken('read').access), 'refused', '--role node');
  });
});

describe('calyx run', () => {
  it('generates the golden text through nodes that know each other by certificates', async () => {
    nodes.push(await startNode('second', [6, 12], newToken('node').access));
    const { cases } = JSON.parse(readFileSync(join(TINY, 'golden.json'), 'utf8')) as {
      cases: { prompt: string; chat?: boolean; greedy: number[]; text: string }[];
    };
    const golden = cases.find(({ chat }) => chat === true);
    const runner = await ModelRunner.open(
      parseModelSpec(`${MODEL}@${revision}`),
      newToken('read').access,
      never,
    );
    try {
      expect(runner.route.map(({ url }) => new URL(url).protocol)).toEqual(['https:', 'https:']);
      const answer = await runner.run(
        { text: golden?.prompt ?? '', raw: false },
        { maxTokens: 96, temperature: 0, topP: 1, seed: 1, signal: never },
      );
      expect(answer.text).toBe(golden?.text);
    } finally {
      await runner.close();
    }
  });
});

describe('a client whose certificate is renewed', () => {
  it('goes on with the new one when the old one is over', async () => {
    const { access } = newToken('read', '*', { to: 3_000 });
    if (!isSecured(access)) throw new Error('it has a credential');
    const certificate = await ClusterCertificate.obtain(access, never);
    const connections = new NodeConnections(certificate, parseModelSpec(MODEL).model);
    const identity = { model: MODEL, revision };
    try {
      const endsAt = Date.parse(new X509Certificate(certificate.tls.certificate).validTo);
      const client = await StageClient.connect(node.url, identity, connections.options(node.url));
      await wallClock.sleep(endsAt + 1 - Date.now());
      await client.open('session-0000-0001', 4);
      await client.close('session-0000-0001');
    } finally {
      await connections.close();
      await certificate.close();
    }
  });
});

describe('a token that is revoked', () => {
  it('ends what its holder generates, in the middle, within 2 s', async () => {
    nodes.push(await startNode('rest', [6, 12], newToken('node').access));
    const { id, access } = newToken('read');
    const runner = await ModelRunner.open(parseModelSpec(`${MODEL}@${revision}`), access, never);
    let revokedAt = Infinity;
    try {
      const options = { maxTokens: 900, temperature: 0, topP: 1, seed: 1, signal: never };
      const onText = (): void => {
        if (revokedAt !== Infinity) return;
        revokedAt = performance.now();
        front.deny(id);
      };
      // An answer may come to its end by itself; the next one does not come.
      const generate = async (): Promise<never> => {
        for (;;) await runner.run({ text: 'Tell me a story.', raw: false }, { ...options, onText });
      };
      await expectError(generate, 'unauthenticated', 'revoked');
      expect(performance.now() - revokedAt).toBeLessThan(2_000);
    } finally {
      await runner.close();
    }
  });
});

describe('sessions of a node', () => {
  /** Connects to the node with a token of its own. */
  async function client(): Promise<{ id: string; stage: StageClient; close: () => Promise<void> }> {
    const { id, access } = newToken('read');
    if (!isSecured(access)) throw new Error('it has a credential');
    const certificate = await ClusterCertificate.obtain(access, never);
    const connections = new NodeConnections(certificate, parseModelSpec(MODEL).model);
    const stage = await StageClient.connect(
      node.url,
      { model: MODEL, revision },
      connections.options(node.url),
    );
    const close = async (): Promise<void> => {
      await connections.close();
      await certificate.close();
    };
    return { id, stage, close };
  }
  const input = (): { kind: 'tokens'; data: BigInt64Array<ArrayBuffer> } => ({
    kind: 'tokens',
    data: BigInt64Array.of(1n),
  });
  const openEight = (stage: StageClient, of: string): Promise<unknown> =>
    Promise.all(Array.from({ length: 8 }, (_, i) => stage.open(`session-of-${of}-${i}`, 4)));

  it('are there for the token that opened them, take half of the places, and end with it', async () => {
    const rose = await client();
    const lily = await client();
    const fern = await client();
    try {
      await openEight(rose.stage, 'rose');
      await expectError(() => rose.stage.open('session-of-rose-8', 4), 'busy', '8 sessions');
      await openEight(lily.stage, 'lily');
      await expectError(() => fern.stage.open('session-of-fern-0', 4), 'busy', '16 sessions');
      await expectError(() => fern.stage.forward('session-of-rose-0', 0, input()), 'not-found');
      await fern.stage.close('session-of-rose-0');
      await rose.stage.forward('session-of-rose-0', 0, input());
      front.deny(rose.id);
      await vi.waitFor(() => fern.stage.open('session-of-fern-first', 4), { timeout: 2_000 });
      for (let i = 1; i < 8; i += 1) await fern.stage.open(`session-of-fern-${i}`, 4);
      await lily.stage.forward('session-of-lily-0', 0, input());
    } finally {
      for (const { close } of [rose, lily, fern]) await close();
    }
  });
});

describe('the certificate of a node', () => {
  it('is renewed before it is over, and the node shows the new one without a restart', async () => {
    const before = front.issued;
    const renewed = await startNode('renewed', [0, 1], newToken('node', '*', { to: 4_000 }).access);
    nodes.push(renewed);
    const first = await shownBy(renewed.url);
    await vi.waitFor(async () => expect(await shownBy(renewed.url)).not.toBe(first), { timeout: 10_000 });
    expect(front.issued).toBeGreaterThan(before + 1);
  });

  it.each(['unavailable', 'unauthenticated'] as const)(
    'ends the node when it is over and the stores are %s',
    async (code) => {
      const { access } = newToken('node', '*', { to: 4_000 });
      const mortal = await startNode(`mortal-${code}`, [0, 1], access);
      if (code === 'unavailable') front.away = true;
      else front.tokens.delete(access.credential?.token ?? '');
      front.hangUp();
      const reason = await mortal.failed;
      expect(reason.code).toBe(code);
      expect(reason.message).toContain('is over and could not be renewed');
      await expect(shownBy(mortal.url)).rejects.toThrow('ECONNREFUSED');
    },
  );
});
