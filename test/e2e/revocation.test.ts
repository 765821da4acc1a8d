import { Agent, request as askSecurely } from 'node:https';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { STORE_NAME } from '../../src/core/access.js';
import { Nfs41Reader } from '../../src/protocols/nfs-client/nfs41-reader.js';
import { connectCaller } from '../../src/protocols/nfs-client/rpc-caller.js';
import { calyx, calyxJson, startCalyx } from '../support/cli.js';
import { suiteDirectory } from '../support/directories.js';
import { expectError } from '../support/expect-error.js';
import { TINY, writeRandomModel } from '../support/models.js';
import { startProxy } from '../support/proxy.js';
import { RealCluster, type Holder } from '../support/real-cluster.js';
import { startNodeProcess, type NodeProcess } from '../support/running-node.js';

/** What was promised. */
const WITHIN_MS = 2_000;
const MIB = 1024 * 1024;

const scratch = suiteDirectory();
const data = join(scratch, 'data');
const closers: (() => Promise<unknown>)[] = [];
let cluster: RealCluster;
let node: NodeProcess;
/** The largest file of a model that takes longer to read than any buffer on the way holds. */
let blob: string;

beforeAll(async () => {
  await writeRandomModel(join(scratch, 'big'), { blocks: 4, matrixBytes: 8 * MIB, shards: 1, seed: 1 });
  await Promise.all([
    calyxJson('add', join(scratch, 'big'), '--name', 'acme/big', '--data', data),
    calyxJson('add', TINY, '--name', 'acme/tiny', '--data', data),
  ]);
  cluster = await RealCluster.start(data, { nfs: '127.0.0.1:0', args: ['--nfs-require-client-cert'] });
  closers.push(() => cluster.store.stop());
  const main = await cluster.manage('GET', '/v1/models/acme/big/revisions/main');
  const { manifest } = JSON.parse(main) as { manifest: string };
  const { files } = JSON.parse(await cluster.manage('GET', `/v1/manifests/${manifest}`)) as {
    files: { size: number; blob: string }[];
  };
  blob = files.reduce((one, other) => (one.size > other.size ? one : other)).blob;
  const holder = await cluster.token('node', { name: 'the node' });
  node = await startNodeProcess(
    ['--model', 'acme/tiny', '--blocks', '0:12', '--data', join(scratch, 'node')],
    environment(holder),
  );
  closers.push(() => node.stop());
});
afterAll(async () => {
  for (const close of closers.reverse()) await close();
});

function environment(holder: Holder, address?: string): Record<string, string> {
  return { CALYX_STORE: cluster.joinString(holder, address), XDG_CONFIG_HOME: join(scratch, 'config') };
}

/** Something of a holder that is open. */
interface Open {
  /** Resolves with the time (performance.now) at which it was ended by the other side. */
  readonly ended: Promise<number>;
  /** What is to be so after that. */
  readonly after: () => Promise<void>;
}

const now = (): number => performance.now();
const closed = (socket: Socket): Promise<number> =>
  new Promise((resolve) => socket.once('close', () => resolve(now())).on('error', () => undefined));

/** A connection of an agent that rests between two requests. */
function resting(agent: Agent): Socket {
  const [socket] = Object.values(agent.freeSockets).flatMap((sockets) => sockets ?? []);
  if (socket === undefined) throw new Error('no connection stayed open');
  return socket;
}

/** A kept connection to the store. */
async function openHttps({ text: token }: Holder): Promise<Open> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  expect(await cluster.ask({ path: '/v1/whoami', token, agent })).toMatchObject({ status: 200 });
  return {
    ended: closed(resting(agent)),
    after: async () => {
      const told = await cluster.ask({ path: '/v1/whoami', token, agent });
      expect(told).toMatchObject({ status: 401, code: 'unauthenticated' });
      expect(told.body).toMatch(/this token (was revoked|has expired)/);
      agent.destroy();
    },
  };
}

/** A download whose reader takes its time. */
function openDownload({ text: token }: Holder): Promise<Open> {
  return new Promise((resolve, reject) => {
    const request = askSecurely(
      `${cluster.store.url}/v1/blobs/${blob}`,
      {
        ...{ ca: cluster.ca, servername: STORE_NAME, agent: false },
        headers: { authorization: `Bearer ${token}` },
      },
      (answer) => {
        expect(answer.statusCode).toBe(200);
        let bytes = 0;
        // 1 MB per second: what the kernels on the way hold alone would last for longer than it may.
        answer.on('data', (piece: Buffer) => {
          bytes += piece.byteLength;
          answer.pause();
          setTimeout(() => answer.resume(), piece.byteLength / 1_000);
        });
        const ended = new Promise<number>((end) => {
          answer.once('error', () => end(now())).once('end', () => end(now()));
        });
        answer.once('data', () => {
          resolve({
            ended,
            after: () => {
              expect(answer.complete).toBe(false);
              expect(bytes).toBeLessThan(Number(answer.headers['content-length']));
              return Promise.resolve();
            },
          });
        });
      },
    );
    request.once('error', reject).end();
  });
}

/** A connection to the stage of a node. */
async function openStage(holder: Holder): Promise<Open> {
  const pair = await cluster.certificate(holder);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const asked = { path: '/v1/stage', pair, agent };
  expect(await cluster.askNode(node.url, asked)).toMatchObject({ status: 200 });
  return {
    ended: closed(resting(agent)),
    after: async () => {
      expect(await cluster.askNode(node.url, asked)).toMatchObject({ status: 401 });
      agent.destroy();
    },
  };
}

/** A mount with a certificate, which reads all the time. */
async function openNfs(holder: Holder): Promise<Open> {
  const pair = await cluster.certificate(holder);
  const signal = AbortSignal.timeout(50_000);
  const connected = (): Promise<Nfs41Reader> =>
    connectCaller({
      ...{ host: '127.0.0.1', port: cluster.store.nfs?.port ?? 0, privileged: false, signal },
      ...{ timeoutMs: 5_000, callTimeoutMs: 20_000 },
      tls: { program: 100_003, version: 4, ca: cluster.ca, ...pair },
    }).then((caller) => Nfs41Reader.open(caller, '/models/acme/tiny', signal));
  const reader = await connected();
  const ended = (async () => {
    const file = await reader.lookup(reader.root, 'config.json', signal);
    for (;;) {
      try {
        await reader.read(file, 0, 512, signal);
      } catch {
        return now();
      }
    }
  })();
  return { ended, after: () => expectError(connected, 'refused').then(() => undefined) };
}

const WITH_CERTIFICATE = 'a mount by NFS with a certificate';

const KINDS = {
  'a kept HTTPS connection': openHttps,
  'a download': openDownload,
  'a connection to a stage': openStage,
  [WITH_CERTIFICATE]: openNfs,
};

/** What ends a token, and when it has ended: only times of one clock are compared. */
const ENDS: Record<string, { readonly seconds?: number; readonly end: (holder: Holder) => Promise<number> }> =
  {
    'calyx token revoke': {
      end: async ({ id }) => {
        const ended = await calyx('token', 'revoke', id, '--data', data, '--json');
        expect(ended).toMatchObject({ code: 0 });
        return now();
      },
    },
    'its time': {
      seconds: 4,
      end: async ({ id }) => {
        const { tokens } = JSON.parse(await cluster.manage('GET', '/v1/tokens')) as {
          tokens: { id: string; expiresAt?: number }[];
        };
        const expiresAt = tokens.find((token) => token.id === id)?.expiresAt ?? NaN;
        return now() + expiresAt - Date.now();
      },
    },
  };

describe.each(Object.entries(ENDS))('%s', (_end, { seconds, end }) => {
  it(`ends, within 2 s, ${Object.keys(KINDS).join(', ')}; others go on`, async () => {
    const wanted = { name: 'to be ended', ...(seconds !== undefined && { expiresIn: seconds }) };
    const [holder, other] = [await cluster.token('read', wanted), await cluster.token('read')];
    const staying = await Promise.all([openHttps(other), openStage(other), openNfs(other)]);
    let cut = false;
    for (const { ended } of staying) void ended.then(() => (cut = true));
    const opened = await Promise.all(
      Object.entries(KINDS).map(async ([kind, open]) => ({ kind, ...(await open(holder)) })),
    );
    const endsAt = end(holder);
    const late = await Promise.all(
      opened.map(async ({ kind, ended }) => [kind, (await ended) - (await endsAt)] as const),
    );
    for (const [kind, ms] of late) expect(ms, kind).toBeLessThan(WITHIN_MS);
    // Not before its time either; the clocks of timers and of the day differ by less than this. The time of a certificate, which is over
    // when its token is, ends with a whole second (RFC 5280, section 4.1.2.5).
    const early = (kind: string): number => (kind === WITH_CERTIFICATE ? 1_100 : 100);
    if (seconds !== undefined) for (const [kind, ms] of late) expect(ms, kind).toBeGreaterThan(-early(kind));
    for (const { after } of opened) await after();
    expect(cut).toBe(false);
    await cluster.revoke(other);
    await Promise.all(staying.map(({ ended }) => ended));
  });
});

describe('a command whose token is revoked', () => {
  it('calyx fetch ends with the reason, and does not go on trying', async () => {
    const holder = await cluster.token('read');
    let reached: () => void = () => undefined;
    const underWay = new Promise<void>((resolve) => (reached = resolve));
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const proxy = await startProxy(cluster.store.port, {
      gate: {
        afterBytes: 4 * MIB,
        open: () => {
          reached();
          return gate;
        },
      },
    });
    try {
      const address = new URL(proxy.url).host;
      const fetching = startCalyx(
        ['fetch', 'acme/big', '--blocks', '0:4', '--into', join(scratch, 'into')],
        environment(holder, address),
      );
      await Promise.race([underWay, fetching.ended]);
      await cluster.revoke(holder);
      const revokedAt = now();
      open();
      const ended = await fetching.ended;
      expect(ended).toMatchObject({ code: 1 });
      expect(ended.stderr).toContain('does not accept the token');
      expect(ended.stderr).toContain(
        "was revoked or has expired: join again with a new line of 'calyx token create'",
      );
      // It has to hear of it, and to end.
      expect(now() - revokedAt).toBeLessThan(2 * WITHIN_MS);
    } finally {
      open();
      await proxy.close();
    }
  });

  it('calyx run ends in the middle of its text', async () => {
    const holder = await cluster.token('read');
    const running = startCalyx(
      // So hot that the id which ends it hardly ever comes: it takes seconds.
      ['run', 'acme/tiny', 'Tell me a story.', '--max-tokens', '900', '--temperature', '50', '--seed', '7'],
      environment(holder),
    );
    await Promise.race([
      new Promise<void>((resolve) => running.child.stdout?.once('data', () => resolve())),
      running.ended,
    ]);
    await cluster.revoke(holder);
    const revokedAt = now();
    const ended = await running.ended;
    expect(now() - revokedAt).toBeLessThan(WITHIN_MS);
    expect(ended).toMatchObject({ code: 1 });
    expect(ended.stderr).toMatch(/revoked/);
  });
});

it('calyx token revoke while no store runs takes effect when one starts', async () => {
  const own = join(scratch, 'own');
  const before = await RealCluster.start(own);
  const [gone, kept] = [await before.token('read'), await before.token('read')];
  await before.store.stop();
  const ended = await calyx('token', 'revoke', gone.id, '--data', own);
  expect(ended).toMatchObject({ code: 0, stdout: `revoked ${gone.id} (read)\n` });
  const after = await RealCluster.start(own);
  try {
    const told = await after.ask({ path: '/v1/whoami', token: gone.text });
    expect(told).toMatchObject({ status: 401, code: 'unauthenticated' });
    expect(await after.ask({ path: '/v1/whoami', token: kept.text })).toMatchObject({ status: 200 });
  } finally {
    await after.store.stop();
  }
});
