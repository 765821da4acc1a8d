import { readFileSync, readdirSync } from 'node:fs';
import { get } from 'node:https';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { startCalyx, type Running } from '../support/cli.js';
import { ROOT, testDirectory } from '../support/directories.js';
import { processesWith } from '../support/processes.js';

interface Golden {
  readonly cases: readonly {
    readonly prompt: string;
    readonly chat: boolean;
    readonly text: string;
    readonly greedy: readonly number[];
  }[];
}

const golden = JSON.parse(readFileSync(join(ROOT, 'models/tiny-calyx/golden.json'), 'utf8')) as Golden;
const chats = golden.cases.filter(({ chat }) => chat);

/** The demo with its temporary files in a directory of the test's own. */
function startDemo(directory: string, ...args: string[]): Running {
  return startCalyx(['demo', ...args], { TMPDIR: directory });
}

/** Resolves with all that the demo has printed when `text` is among it. */
function printed({ child, ended }: Running, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let all = '';
    child.stdout?.on('data', (piece: string) => {
      all += piece;
      if (all.includes(text)) resolve(all);
    });
    void ended.then((end) => reject(new Error(`the demo ended before: ${JSON.stringify(end)}`)), reject);
  });
}

/** How a stranger is answered, who does not even look at the certificate. */
function statusOf(url: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    get(url, { rejectUnauthorized: false }, (answer) => {
      resolve(answer.resume().statusCode);
    }).once('error', reject);
  });
}

describe('calyx demo', () => {
  it('answers with the golden text, within the budgets, and leaves nothing behind', async () => {
    const directory = testDirectory();
    const [expected] = chats;
    const { code, stdout, stderr } = await startDemo(directory, expected?.prompt ?? '', '--json').ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const result = JSON.parse(stdout) as {
      text: string;
      tokens: number[];
      tokensPerSecond: number;
      store: { bytes: number; bytesSent: number };
      nodes: { name: string; blocks: string; bytesNeeded: number; bytesOnDisk: number; budget: number }[];
      fullCopiesBytes: number;
    };
    expect(result.text).toBe(expected?.text);
    expect(result.tokens).toEqual(expected?.greedy);
    expect(result.tokensPerSecond).toBeGreaterThan(0);
    expect(result.nodes.map(({ blocks }) => blocks)).toEqual(['0:4', '4:8', '8:12']);
    for (const { bytesOnDisk, bytesNeeded, budget } of result.nodes) {
      expect(bytesOnDisk).toBeLessThanOrEqual(budget);
      expect(bytesNeeded).toBeLessThan(bytesOnDisk);
      expect(budget).toBeLessThan(result.store.bytes);
    }
    const needed = result.nodes.reduce((sum, { bytesNeeded }) => sum + bytesNeeded, 0);
    expect(result.store.bytesSent).toBeLessThanOrEqual(1.01 * needed);
    expect(result.store.bytesSent).toBeGreaterThanOrEqual(needed);
    expect(result.fullCopiesBytes).toBe(3 * result.store.bytes);
    expect(readdirSync(directory)).toEqual([]);
    expect(processesWith(directory)).toEqual([]);
  });

  it('shows the nodes, streams the answer and ends with a table', async () => {
    const directory = testDirectory();
    const { code, stdout, stderr } = await startDemo(directory, '--once').ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const answer = chats.find(({ prompt }) => prompt === 'What is a calyx?')?.text ?? 'missing';
    expect(stdout).toContain(`> What is a calyx?\n${answer}\n`);
    for (const word of ['store', 'node-1', 'node-2', 'node-3', 'budget', 'full copies', 'tokens/s']) {
      expect(stdout).toContain(word);
    }
    expect(readdirSync(directory)).toEqual([]);
  });

  it('speaks TLS, answers no stranger, and shows no token in the list of processes', async () => {
    const directory = testDirectory();
    const demo = startDemo(directory, '--once');
    const [, store] = /^store +(https:\S+)$/m.exec(await printed(demo, 'node-1')) ?? [];
    const own = processesWith(directory);
    const telling = [...processesWith('calyx1.'), ...processesWith('calyx://')];
    expect(own.length).toBeGreaterThan(3);
    expect(own.filter((pid) => telling.includes(pid))).toEqual([]);
    expect(await statusOf(new URL('/v1/models', store).href)).toBe(401);
    expect((await demo.ended).code).toBe(0);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('%s in the middle ends it cleanly', async (signal) => {
    const directory = testDirectory();
    const demo = startDemo(directory, '--once');
    await printed(demo, 'the only full copy');
    demo.child.kill(signal);
    expect((await demo.ended).code).toBe(signal === 'SIGINT' ? 130 : 143);
    expect(readdirSync(directory)).toEqual([]);
    expect(processesWith(directory)).toEqual([]);
  });

  it('a second Ctrl-C does not wait, and leaves nothing either', async () => {
    const directory = testDirectory();
    const demo = startDemo(directory, '--once');
    await printed(demo, 'node-1');
    demo.child.kill('SIGINT');
    demo.child.kill('SIGINT');
    expect((await demo.ended).code).toBe(130);
    expect(readdirSync(directory)).toEqual([]);
    await vi.waitFor(() => expect(processesWith(directory)).toEqual([]), { timeout: 20_000, interval: 50 });
  });

  it('ends in order when nobody reads on, as in `| head`', async () => {
    const directory = testDirectory();
    const demo = startDemo(directory, '--once');
    await printed(demo, 'store');
    demo.child.stdout?.destroy();
    expect((await demo.ended).code).toBe(141);
    expect(readdirSync(directory)).toEqual([]);
    expect(processesWith(directory)).toEqual([]);
  });

  it('if it is killed, its processes end too', async () => {
    const directory = testDirectory();
    const demo = startDemo(directory, '--once');
    await printed(demo, 'node-1');
    demo.child.kill('SIGKILL');
    await demo.ended;
    await vi.waitFor(() => expect(processesWith(directory)).toEqual([]), { timeout: 20_000, interval: 50 });
  });
});
