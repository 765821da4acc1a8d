import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { calyxJson, startCalyx } from '../support/cli.js';
import { openSocket } from '../support/http.js';
import { writeRandomModel } from '../support/models.js';
import { sha256sum } from '../support/outside-tools.js';
import { startProxy } from '../support/proxy.js';
import { egress, startStore } from '../support/running-store.js';
import { suiteDirectory } from '../support/directories.js';

const scratch = suiteDirectory();
const MIB = 1024 * 1024;
const SHARD = 'model-00001-of-00001.safetensors';
let data: string;
let blob: string;

beforeAll(async () => {
  data = join(scratch, 'data');
  const model = join(scratch, 'model');
  await writeRandomModel(model, { blocks: 4, matrixBytes: 4 * MIB, shards: 1, seed: 5 });
  await calyxJson('add', model, '--name', 'org/random', '--data', data);
  blob = (await sha256sum([join(model, SHARD)]))[join(model, SHARD)] ?? '';
});

describe('a store that is told to end', () => {
  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('%s: ends at once with code 0', async (signal) => {
    const store = await startStore(data);
    // One client in the middle of an answer that it does not read, one that is idle, one with half a request.
    const reader = await openSocket(store.port);
    reader.write(`GET /v1/blobs/${blob} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`);
    await once(reader, 'readable');
    const idle = await openSocket(store.port);
    const half = await openSocket(store.port);
    half.write('GET /v1/models HT');
    for (const socket of [reader, idle, half]) socket.on('error', () => undefined);
    const startedAt = performance.now();
    const ended = await store.stop(signal);
    expect(performance.now() - startedAt).toBeLessThan(5000);
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '' });
    expect(await readdir(join(data, '.calyx', 'owners'))).toEqual([]);
    for (const socket of [reader, idle, half]) socket.destroy();
  });
});

describe('a fetch that is interrupted', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s: ends with code %d, leaves nothing half, and goes on later', async (signal, code) => {
    const store = await startStore(data);
    onTestFinished(async () => {
      await store.stop();
    });
    const into = join(scratch, signal);
    const args = ['fetch', 'org/random', '--blocks', '0:4', '--embed', '--head', '--into', into, '--json'];
    let interrupt = (): void => undefined;
    // More than the manifest and the first parts, less than all.
    const proxy = await startProxy(store.port, { onBytes: (total) => total > 24 * MIB && interrupt() });
    const running = startCalyx([...args, '--store', proxy.url]);
    // Once: a second signal means 'at once'.
    interrupt = () => {
      interrupt = () => undefined;
      running.child.kill(signal);
    };
    const ended = await running.ended;
    await proxy.close();
    expect(ended).toMatchObject({ code, signal: null, stdout: '', stderr: 'interrupted\n' });
    expect(await readdir(join(into, '.calyx', 'owners'))).toEqual([]);
    expect(await readdir(into)).not.toContain('model.safetensors.index.json');
    const before = await egress(store.url);
    const { bytesFetched } = await calyxJson(...args.slice(0, -1), '--store', store.url, '--dry-run');
    await calyxJson(...args.slice(0, -1), '--store', store.url);
    expect((await egress(store.url)) - before).toBe(bytesFetched);
    const again = await calyxJson(...args.slice(0, -1), '--store', store.url);
    expect(again['bytesFetched']).toBe(0);
    const parts = (await readdir(into)).filter((name) => name.endsWith('.safetensors'));
    const sums = await sha256sum(parts.map((name) => join(into, name)));
    for (const part of parts) {
      const shown = await fetch(`${store.url}/tree/slices/org/random/0-4+embed+head/${part}`);
      const digest = await crypto.subtle.digest('SHA-256', await shown.arrayBuffer());
      expect(sums[join(into, part)]).toBe(Buffer.from(digest).toString('hex'));
    }
  });
});
