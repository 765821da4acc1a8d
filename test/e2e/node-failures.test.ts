import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { calyx, calyxJson, startCalyx, type Running } from '../support/cli.js';
import { ROOT, suiteDirectory } from '../support/directories.js';
import { startStore, type RunningStore } from '../support/running-store.js';

const FIXTURE = join(ROOT, 'test/fixtures/models/qwen2-tied');
/** Nothing listens on it: connecting fails at once. */
const DEAD = 'http://127.0.0.1:1';
/** Kills the thread that computes, as running out of memory would, when it is to compute something. */
const DEADLY_FORWARD = `import { Worker } from 'node:worker_threads';
const post = Worker.prototype.postMessage;
Worker.prototype.postMessage = function (message, transfer) {
  return post.call(this, message?.call === 'forward' ? null : message, transfer);
};`;

const directory = suiteDirectory();
const data = join(directory, 'store');
const nodes: Running[] = [];
let store: RunningStore;
let revision: unknown;

/** The arguments of a node with a directory of its own. */
function nodeArgs(name: string, blocks: string, ...args: string[]): string[] {
  return [
    ...['node', '--name', name, '--model', 'acme/qwen', '--blocks', blocks, '--store', store.url, '--json'],
    ...['--data', join(directory, name), ...args],
  ];
}

function startNode(args: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
  const node = startCalyx(args, env);
  nodes.push(node);
  return node;
}

function served(node: Running): Promise<void> {
  return new Promise((resolve, reject) => {
    let all = '';
    node.child.stdout?.on('data', (piece: string) => {
      all += piece;
      if (all.includes('"event":"listening"')) resolve();
    });
    void node.ended.then((ended) => reject(new Error(JSON.stringify(ended))), reject);
  });
}

/** Tells the store of a node that does not exist, as it remembers one that was killed. */
async function registerDead(name: string, start: number, end: number): Promise<void> {
  const id = randomUUID();
  const blocks = { start, end };
  const record = {
    id,
    name,
    url: DEAD,
    model: 'acme/qwen',
    revision,
    blocks,
    embed: start === 0,
    head: end === 5,
  };
  const answer = await fetch(`${store.url}/v1/nodes/${id}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(record),
  });
  expect(answer.status).toBe(200);
}

async function registered(): Promise<string[]> {
  const answer = (await (await fetch(`${store.url}/v1/nodes`)).json()) as { nodes: { name: string }[] };
  return answer.nodes.map(({ name }) => name);
}

beforeAll(async () => {
  store = await startStore(data);
  ({ revision } = await calyxJson('add', FIXTURE, '--name', 'acme/qwen', '--data', data));
});
afterEach(async () => {
  const all = nodes.splice(0);
  for (const { child } of all) child.kill('SIGTERM');
  await Promise.all(all.map(({ ended }) => ended));
});
afterAll(async () => {
  await store.stop();
});

describe('calyx node', () => {
  it('leaves and ends with code 1 when its blocks cannot be run any more', async () => {
    const preload = `data:text/javascript,${encodeURIComponent(DEADLY_FORWARD)}`;
    const node = startNode(nodeArgs('mortal', '0:5'), { NODE_OPTIONS: `--import=${preload}` });
    await served(node);
    expect(await registered()).toEqual(['mortal']);
    const run = await calyx('run', 'acme/qwen', '--tokens', '1', '--store', store.url);
    expect(run.code).toBe(1);
    const ended = await node.ended;
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('error: the stage of blocks 0:5: its worker thread failed');
    expect(ended.stderr).toContain('start the node again');
    expect(await registered()).toEqual([]);
  });

  it.each(['0.0.0.0:0', '[::]:7099', '0:7099', '[::ffff:0.0.0.0]:0'])(
    'refuses to register %s, which nobody could call',
    async (address) => {
      const ended = await calyx(...nodeArgs('wildcard', '0:1', '--listen', address, '--insecure'));
      expect(ended).toMatchObject({ code: 2, stdout: '' });
      expect(ended.stderr).toContain('every address of this machine');
      expect(ended.stderr).toContain(
        `--advertise http://ADDRESS:${address.endsWith('7099') ? '7099' : 'PORT'}`,
      );
      expect(readdirSync(directory)).not.toContain('wildcard');
    },
  );

  it('listens on every address if it is told which one to register', async () => {
    const more = ['--listen', '0.0.0.0:0', '--insecure', '--advertise', 'http://192.0.2.7:7071'];
    await served(startNode(nodeArgs('wide', '0:1', ...more)));
    expect(await registered()).toEqual(['wide']);
  });

  it('waits for a store that starts later', async () => {
    const { port } = store;
    await store.stop();
    const node = startNode(nodeArgs('early', '0:1'));
    const listening = served(node);
    await new Promise((resolve) => node.child.stderr?.once('data', resolve));
    store = await startStore(data, { listen: `127.0.0.1:${port}` });
    await listening;
    node.child.kill('SIGTERM');
    const { code, stderr } = await node.ended;
    expect(code).toBe(0);
    expect(stderr.match(/no store answers/g)).toHaveLength(1);
  });

  it('ends at once when it is told to while it waits for a store', async () => {
    const args = nodeArgs('waiting', '0:1').map((arg) => (arg === store.url ? DEAD : arg));
    const node = startNode(args);
    await new Promise((resolve) => node.child.stderr?.once('data', resolve));
    const begin = performance.now();
    node.child.kill('SIGTERM');
    expect((await node.ended).code).toBe(0);
    expect(performance.now() - begin).toBeLessThan(5_000);
  });
});

describe('calyx run', () => {
  it('takes another node when one does not answer, and says what is missing when there is none', async () => {
    await served(startNode(nodeArgs('b1', '0:3')));
    const second = startNode(nodeArgs('b2', '3:5'));
    await served(second);
    // Preferred by name, or for fewer hops.
    await registerDead('a2', 3, 5);
    await registerDead('whole', 0, 5);
    const run = ['run', 'acme/qwen', '--tokens', '1', '--max-tokens', '2', '--store', store.url];
    const result = await calyxJson(...run);
    expect(result['route']).toMatchObject([{ name: 'b1' }, { name: 'b2' }]);
    second.child.kill('SIGTERM');
    await second.ended;
    const { code, stderr } = await calyx(...run);
    expect(code).toBe(1);
    expect(stderr).toMatch(/no node serves the blocks 3:5 of acme\/qwen \(.*127\.0\.0\.1:1/);
    expect(stderr).toContain(`calyx node --store ${store.url} --model acme/qwen --blocks 3:5`);
  });

  it('does not wait for a store', async () => {
    const begin = performance.now();
    expect((await calyx('run', 'acme/qwen', '--tokens', '1', '--store', DEAD)).code).toBe(1);
    expect(performance.now() - begin).toBeLessThan(10_000);
  });
});
