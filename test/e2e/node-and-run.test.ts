import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { calyx, calyxJson, startCalyx, type Running } from '../support/cli.js';
import { ROOT, suiteDirectory } from '../support/directories.js';
import { startStore, type RunningStore } from '../support/running-store.js';

interface Case {
  readonly prompt: string | number[];
  readonly chat?: boolean;
  readonly tokens?: readonly number[];
  readonly greedy: readonly number[];
  readonly text?: string;
}

const FIXTURE = join(ROOT, 'test/fixtures/models/qwen2-tied');
const TINY = join(ROOT, 'models/tiny-calyx');
const directory = suiteDirectory();
const data = join(directory, 'store');
const nodes = new Map<string, Running>();
let store: RunningStore;

function cases(model: string): readonly Case[] {
  return (JSON.parse(readFileSync(join(model, 'golden.json'), 'utf8')) as { cases: Case[] }).cases;
}

/** Starts a node and waits until it serves; resolves with its event `fetched`. */
async function startNode(
  name: string,
  model: string,
  blocks: string,
  ...args: string[]
): Promise<Record<string, unknown>> {
  const running = startCalyx([
    ...['node', '--name', name, '--model', model, '--blocks', blocks, '--store', store.url, '--json'],
    ...['--data', join(directory, name), ...args],
  ]);
  nodes.set(name, running);
  return new Promise((resolve, reject) => {
    let all = '';
    running.child.stdout?.on('data', (piece: string) => {
      all += piece;
      if (!all.includes('"event":"listening"')) return;
      const lines = all.split('\n').filter((line) => line.includes('"event":"fetched"'));
      resolve(JSON.parse(lines[0] ?? '{}') as Record<string, unknown>);
    });
    void running.ended.then((ended) => reject(new Error(JSON.stringify(ended))), reject);
  });
}

async function stopNode(
  name: string,
  signal: NodeJS.Signals = 'SIGTERM',
): Promise<number | null | undefined> {
  const node = nodes.get(name);
  nodes.delete(name);
  node?.child.kill(signal);
  return (await node?.ended)?.code;
}

beforeAll(async () => {
  store = await startStore(data);
  await calyxJson('add', FIXTURE, '--name', 'acme/qwen', '--data', data);
  await calyxJson('add', TINY, '--name', 'acme/tiny', '--data', data);
});
afterAll(async () => {
  await Promise.all([...nodes.keys()].map((name) => stopNode(name)));
  await store.stop();
});

describe('calyx node and calyx run', () => {
  it('says which blocks nobody serves, and how to serve them', async () => {
    const { code, stderr } = await calyx('run', 'acme/qwen', '--tokens', '1', '--store', store.url);
    expect(code).toBe(1);
    expect(stderr).toContain('0:5');
    expect(stderr).toContain(`calyx node --store ${store.url} --model acme/qwen --blocks 0:5`);
  });

  it('generates the golden tokens of a model with a tied head through two nodes', async () => {
    await startNode('q1', 'acme/qwen', '0:3');
    await startNode('q2', 'acme/qwen', '3:5');
    for (const { prompt, greedy } of cases(FIXTURE)) {
      const ids = (prompt as number[]).join(',');
      const more = ['--max-tokens', String(greedy.length), '--store', store.url];
      const result = await calyxJson('run', 'acme/qwen', '--tokens', ids, ...more);
      // The golden ids go on past a stop id, where a run ends.
      expect(greedy.slice(0, (result['tokens'] as number[]).length)).toEqual(result['tokens']);
      const stopped = [greedy.length, greedy.indexOf(1) + 1];
      expect(stopped).toContain((result['tokens'] as number[]).length);
      expect(result['route']).toMatchObject([{ blocks: '0:3' }, { blocks: '3:5' }]);
    }
  });

  it('refuses a text prompt for a model without a tokenizer', async () => {
    const { code, stderr } = await calyx('run', 'acme/qwen', 'hello', '--store', store.url);
    expect(code).toBe(1);
    expect(stderr).toContain('--tokens');
  });

  it('a node that leaves says goodbye; its blocks are missing at once', async () => {
    expect(await stopNode('q2')).toBe(0);
    const { code, stderr } = await calyx('run', 'acme/qwen', '--tokens', '1', '--store', store.url);
    expect(code).toBe(1);
    expect(stderr).toContain('--blocks 3:5');
  });

  it('answers raw and chat prompts as transformers does, streams text, and repeats itself for a seed', async () => {
    await startNode('t1', 'acme/tiny', '0:6');
    await startNode('t2', 'acme/tiny', '6:12');
    const raw = cases(TINY).find(({ chat }) => chat === false);
    const chat = cases(TINY).find((one) => one.chat === true);
    const options = ['--max-tokens', '96', '--store', store.url];
    const rawResult = await calyxJson('run', 'acme/tiny', String(raw?.prompt), '--raw', ...options);
    expect(rawResult).toMatchObject({ tokens: raw?.greedy, text: raw?.text });
    const streamed = await calyx('run', 'acme/tiny', String(chat?.prompt), ...options);
    expect(streamed.stdout).toBe(`${chat?.text}\n`);
    const sampled = [
      'run',
      'acme/tiny',
      'Tell me a story.',
      '--temperature',
      '1.5',
      '--top-p',
      '0.95',
      ...options,
    ];
    const one = await calyxJson(...sampled, '--seed', '7');
    const same = await calyxJson(...sampled, '--seed', '7');
    const other = await calyxJson(...sampled, '--seed', '8');
    expect(same['tokens']).toEqual(one['tokens']);
    expect(other['tokens']).not.toEqual(one['tokens']);
  });

  it('prints nothing, and no token ids, for a model with a tokenizer that ends at once', async () => {
    const chat = cases(TINY).find((one) => one.chat === true);
    // All of the golden answer but the id that ends it.
    const ids = [...(chat?.tokens ?? []), ...(chat?.greedy.slice(0, -1) ?? [])].join(',');
    const ended = await calyx('run', 'acme/tiny', '--tokens', ids, '--store', store.url);
    expect(ended).toMatchObject({ code: 0, stdout: '\n' });
    expect(ended.stderr).toMatch(/^1 tokens/);
  });

  it('a node that dies in the middle of an answer is named with its blocks', async () => {
    const running = startCalyx([
      'run',
      'acme/tiny',
      'Tell me a story.',
      '--max-tokens',
      '900',
      '--store',
      store.url,
    ]);
    await new Promise<void>((resolve) => running.child.stdout?.once('data', () => resolve()));
    await stopNode('t2', 'SIGKILL');
    const { code, stderr } = await running.ended;
    expect(code).toBe(1);
    expect(stderr).toContain('6:12');
    expect(stderr).toContain(`--model acme/tiny --blocks 6:12`);
  });

  it('a store that was restarted hears of the nodes again', async () => {
    const { port } = store;
    await store.stop('SIGKILL');
    store = await startStore(data, { listen: `127.0.0.1:${port}` });
    const serving = async (): Promise<string[]> => {
      const answer = (await (await fetch(`${store.url}/v1/nodes`)).json()) as { nodes: { name: string }[] };
      return answer.nodes.map(({ name }) => name);
    };
    await vi.waitFor(async () => expect(await serving()).toContain('t1'), { timeout: 30_000, interval: 100 });
  });

  it('keeps a node within its budget, also across starts with other blocks', async () => {
    const budget = ['--budget', '2500000'];
    await startNode('b', 'acme/tiny', '2:4', ...budget);
    await stopNode('b');
    // Both ranges together would not fit; the old blocks go.
    await startNode('b', 'acme/tiny', '5:7', ...budget);
    expect(await stopNode('b')).toBe(0);
    const { code, stderr } = await calyx(
      ...['node', '--model', 'acme/tiny', '--blocks', '2:6', '--store', store.url],
      ...['--data', join(directory, 'c'), ...budget],
    );
    expect(code).toBe(1);
    expect(stderr).toContain('budget');
  });

  it('lets a node shrink: what goes does not count', async () => {
    await startNode('s', 'acme/tiny', '0:10');
    await stopNode('s');
    await startNode('s', 'acme/tiny', '0:2', '--budget', '2500000');
    expect(await stopNode('s')).toBe(0);
  });

  it('counts the retries of all that a node has fetched', async () => {
    await startNode('r', 'acme/tiny', '0:1');
    await stopNode('r');
    const folder = join(
      directory,
      'r',
      readdirSync(join(directory, 'r')).find((name) => name.includes('@')) ?? '',
    );
    rmSync(join(folder, 'tokenizer.json'));
    // Only the small file is missing; the first address does not answer.
    const event = await startNode('r', 'acme/tiny', '0:1', '--store', `http://127.0.0.1:1,${store.url}`);
    expect(await stopNode('r')).toBe(0);
    expect(event['chunks']).toBeGreaterThan(0);
    expect(event['retries']).toBeGreaterThan(0);
  });

  it('tells two nodes with one directory apart', async () => {
    const { code, stderr } = await calyx(
      ...[
        'node',
        '--model',
        'acme/tiny',
        '--blocks',
        '0:6',
        '--store',
        store.url,
        '--data',
        join(directory, 't1'),
      ],
    );
    expect(code).toBe(1);
    expect(stderr).toMatch(/in use by calyx node \(process \d+\)/);
  });

  it('tells a port that is taken before it fetches anything', async () => {
    const into = join(directory, 'never');
    const { code, stderr } = await calyx(
      ...['node', '--model', 'acme/tiny', '--blocks', '0:6', '--store', store.url],
      ...['--data', into, '--listen', `127.0.0.1:${store.port}`],
    );
    expect(code).toBe(1);
    expect(stderr).toContain(`the port ${store.port} of 127.0.0.1 is in use`);
    expect(existsSync(into)).toBe(false);
  });
});
