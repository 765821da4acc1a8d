import { createServer } from 'node:net';
import { join } from 'node:path';
import type { AddressInfo } from 'node:net';
import { beforeAll, describe, expect, it } from 'vitest';
import { createSourceStack } from '../../src/app/fetch/source-stack.js';
import { calyx, calyxJson, startCalyx } from '../support/cli.js';
import { writeRandomModel } from '../support/models.js';
import { noPython, type PythonTensor } from '../support/outside-tools.js';
import { startProxy } from '../support/proxy.js';
import { startStore, type RunningStore } from '../support/running-store.js';
import { suiteDirectory } from '../support/directories.js';
import { seeded } from '../support/seeded.js';
import { expectSlice, tensorsOf } from '../support/slices.js';

const scratch = suiteDirectory();
const MIB = 1024 * 1024;
const ALL = { blocks: [0, 1, 2, 3, 4, 5], embed: true, head: true };
let data: string;
let store: RunningStore;
let source: Record<string, PythonTensor>;

beforeAll(async () => {
  data = join(scratch, 'data');
  const model = join(scratch, 'model');
  await writeRandomModel(model, { blocks: 6, matrixBytes: 4 * MIB, shards: 2, seed: 7 });
  await calyxJson('add', model, '--name', 'org/random', '--data', data);
  if (noPython === undefined) source = await tensorsOf(model);
  store = await startStore(data);
  return async () => {
    await store.stop('SIGKILL');
  };
});

const args = (into: string, url: string) => [
  ...['fetch', 'org/random', '--blocks', '0:6', '--embed', '--head'],
  ...['--store', url, '--into', join(scratch, into), '--json'],
];

/** A server that takes connections and says nothing. */
async function silentServer(): Promise<{ url: string; close: () => void }> {
  const server = createServer((socket) => socket.on('error', () => undefined));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, close: () => server.close() };
}

describe.skipIf(noPython)('a fetch', () => {
  it.each([1, 2, 3])('completes although connections are cut at random, seed %d', async (seed) => {
    const random = seeded(seed);
    // Half of the connections are cut; one transfer has up to 8 MiB. The first bring the catalog's answers.
    let connections = 0;
    const proxy = await startProxy(store.port, {
      cutAfter: () => {
        connections += 1;
        return connections > 1 && random() < 0.5 ? Math.ceil(random() * 12 * MIB) : undefined;
      },
    });
    const ended = await startCalyx(args(`cut-${seed}`, proxy.url)).ended;
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    expect(proxy.cuts).toBeGreaterThan(0);
    expect((JSON.parse(ended.stdout) as { retries: number }).retries).toBeGreaterThan(0);
    await proxy.close();
    await expectSlice(join(scratch, `cut-${seed}`), source, ALL);
  });

  it('completes although its store is killed and comes back', async () => {
    let kill = (): void => undefined;
    const killed = new Promise<void>((resolve) => (kill = resolve));
    const proxy = await startProxy(store.port, { onBytes: (total) => total > 10 * MIB && kill() });
    const fetching = startCalyx(args('restarted', proxy.url)).ended;
    await killed;
    const { port } = store;
    await store.stop('SIGKILL');
    store = await startStore(data, { listen: `127.0.0.1:${port}` });
    const ended = await fetching;
    await proxy.close();
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    expect((JSON.parse(ended.stdout) as { retries: number }).retries).toBeGreaterThan(0);
    await expectSlice(join(scratch, 'restarted'), source, ALL);
  });
});

describe('a store that says nothing', () => {
  it('fails a fetch within its deadline', async () => {
    const silent = await silentServer();
    const startedAt = performance.now();
    const ended = await calyx(...args('silent', silent.url));
    silent.close();
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain(`cannot reach ${silent.url}: no answer in time`);
    expect(performance.now() - startedAt).toBeLessThan(40_000);
  });

  it('fails a read of a blob within its deadline, naming the source', async () => {
    const silent = await silentServer();
    const digest = '0'.repeat(64);
    const transfer = { blob: digest, chunks: [{ offset: 0, length: 10, digest, targets: [] }] };
    const config = { urls: [silent.url], credential: undefined, deadlineMs: 500, stallMs: 1000 };
    const { source: stack, counters } = createSourceStack(config, [transfer], 1);
    await expect((async () => stack.read(digest, 0, 10))()).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringContaining(silent.url) as string,
    });
    expect(counters.retries).toBeGreaterThan(0);
    await stack.close();
    silent.close();
  });
});
