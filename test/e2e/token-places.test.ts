import { request as askSecurely } from 'node:https';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { STORE_NAME } from '../../src/core/access.js';
import { MAX_CONNECTIONS } from '../../src/protocols/http/create-server.js';
import { calyxJson } from '../support/cli.js';
import { suiteDirectory } from '../support/directories.js';
import { TINY } from '../support/models.js';
import { RealCluster, type Holder, type Told } from '../support/real-cluster.js';

const data = join(suiteDirectory(), 'data');
let cluster: RealCluster;

beforeAll(async () => {
  await calyxJson('add', TINY, '--name', 'acme/tiny', '--data', data);
  cluster = await RealCluster.start(data);
});
afterAll(async () => {
  await cluster.store.stop();
});

/** A question that the store answers after 20 s, on a connection of its own. */
interface Waiting {
  /** When the question is on its way. */
  readonly asked: Promise<void>;
  /** The status, or why there is none. */
  readonly answer: Promise<number | string>;
  end(): void;
}

function wait({ text }: Holder, version: number): Waiting {
  const request = askSecurely(`${cluster.store.url}/v1/access/denied?after=${version}`, {
    ...{ ca: cluster.ca, servername: STORE_NAME, agent: false },
    headers: { authorization: `Bearer ${text}` },
  });
  const answer = new Promise<number | string>((resolve) => {
    request.once('response', (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    request.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
  const asked = new Promise<void>((resolve) => {
    request.once('socket', (socket) =>
      socket.once('secureConnect', () => resolve()).once('close', () => resolve()),
    );
  });
  request.end();
  return { asked, answer, end: () => void request.destroy() };
}

it('a token that takes all places is told so, and keeps nobody else out', async () => {
  const greedy = await cluster.token('read', { name: 'greedy' });
  const reader = await cluster.token('read', { name: 'reader' });
  const whoami = ({ text: token }: Holder): Promise<Told> => cluster.ask({ path: '/v1/whoami', token });
  const { statement } = JSON.parse(await cluster.manage('GET', '/v1/access/denied')) as { statement: string };
  const { version } = JSON.parse(statement) as { version: number };
  const open: Waiting[] = [];
  let told: number | string | undefined;
  // Not more at once than strangers have places.
  while (told === undefined && open.length < MAX_CONNECTIONS + 64) {
    const next = Array.from({ length: 32 }, () => wait(greedy, version));
    open.push(...next);
    for (const { answer } of next) void answer.then((status) => (told ??= status));
    await Promise.all(next.map(({ asked }) => asked));
  }
  await expect.poll(() => told).toBe(503);
  expect(open.length).toBeGreaterThanOrEqual(MAX_CONNECTIONS);
  expect(await whoami(greedy)).toMatchObject({
    status: 503,
    code: 'busy',
    headers: { 'retry-after': '2' },
  });
  for (const other of [reader, cluster.local]) {
    const before = performance.now();
    expect(await whoami(other)).toMatchObject({ status: 200 });
    expect(performance.now() - before).toBeLessThan(1_000);
  }
  for (const waiting of open) waiting.end();
}, 60_000);
