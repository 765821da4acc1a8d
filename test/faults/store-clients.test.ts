import { once } from 'node:events';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { calyxJson, start } from '../support/cli.js';
import { openSocket } from '../support/http.js';
import { writeRandomModel } from '../support/models.js';
import { noCurl, sha256sum } from '../support/outside-tools.js';
import { metric, startStore, type RunningStore } from '../support/running-store.js';
import { suiteDirectory } from '../support/directories.js';

const scratch = suiteDirectory();
const SHARD = 'model-00001-of-00001.safetensors';
let store: RunningStore;
let data: string;
let shard: Buffer;
let blob: string;

beforeAll(async () => {
  const source = join(scratch, 'model');
  data = join(scratch, 'data');
  await writeRandomModel(source, { blocks: 4, matrixBytes: 4 * 1024 * 1024, shards: 1, seed: 1 });
  await calyxJson('add', source, '--name', 'org/random', '--data', data);
  store = await startStore(data);
  shard = await readFile(join(source, SHARD));
  blob = (await sha256sum([join(source, SHARD)]))[join(source, SHARD)] ?? '';
  return async () => {
    await store.stop('SIGKILL');
  };
});

/** Asks from another offset each time, so that no two clients share what the store reads. */
const request = (offset: number): string =>
  `GET /v1/blobs/${blob} HTTP/1.1\r\nhost: 127.0.0.1\r\nrange: bytes=${offset}-\r\n\r\n`;

const requests = (count: number, first = 0): string =>
  Array.from({ length: count }, (_, index) => request(first + index)).join('');

/** Reads all of the shard; a client that waits for a buffer for longer than this is blocked. */
async function readWhole(): Promise<boolean> {
  const answer = await fetch(`${store.url}/v1/blobs/${blob}`, { signal: AbortSignal.timeout(20_000) });
  return Buffer.from(await answer.arrayBuffer()).equals(shard);
}

/** A client that asks, takes the first bytes of the answer and then takes no more. */
async function stalledClient(text: string): Promise<Socket> {
  const socket = await openSocket(store.port);
  socket.on('error', () => undefined);
  socket.write(text);
  await once(socket, 'readable');
  return socket;
}

describe('clients that misbehave', () => {
  it('leave no buffer behind when they go in the middle of an answer', async () => {
    for (let round = 0; round < 2; round += 1) {
      const clients = await Promise.all(
        Array.from({ length: 50 }, (_, index) => stalledClient(request(index))),
      );
      for (const client of clients) client.resetAndDestroy();
    }
    expect(await readWhole()).toBe(true);
  });

  it('leave no buffer behind when they asked for many answers at once and go', async () => {
    for (let round = 0; round < 3; round += 1) {
      const clients = await Promise.all(
        Array.from({ length: 3 }, (_, client) => stalledClient(requests(100, client * 100))),
      );
      for (const client of clients) client.resetAndDestroy();
    }
    expect(await readWhole()).toBe(true);
  });

  it('do not block others while they take nothing', async () => {
    const clients = await Promise.all(
      Array.from({ length: 60 }, (_, index) => stalledClient(request(index))),
    );
    const pipeliner = await stalledClient(requests(200, 1000));
    expect(await readWhole()).toBe(true);
    for (const client of [...clients, pipeliner]) client.destroy();
  });

  it('get what they asked for in turn when they ask for several answers at once', async () => {
    const socket = await openSocket(store.port);
    socket.write(requests(3).replace(/\r\n\r\n$/, '\r\nconnection: close\r\n\r\n'));
    const pieces: Buffer[] = [];
    for await (const piece of socket) pieces.push(piece as Buffer);
    const answers = Buffer.concat(pieces);
    let at = 0;
    for (let offset = 0; offset < 3; offset += 1) {
      at = answers.indexOf('\r\n\r\n', at) + 4;
      const end = at + shard.byteLength - offset;
      expect(answers.subarray(at, end).equals(shard.subarray(offset))).toBe(true);
      at = end;
    }
    expect(at).toBe(answers.byteLength);
  });

  it('leave the store with the memory that it had', async () => {
    // Buffers of 128 MiB at most, and what Node itself takes.
    expect(await metric(store.url, 'process_resident_memory_bytes')).toBeLessThan(350 * 1024 * 1024);
  });
});

// The last one: it breaks the shard.
describe.skipIf(noCurl)('a blob that is cut off on the disk under a running store', () => {
  it.each([8 * 1024 * 1024, 100, 0])('to %d bytes: no answer looks complete', async (left) => {
    const path = join(data, 'models--org--random', 'blobs', blob);
    await writeFile(path, shard);
    await truncate(path, left);
    const head = await fetch(`${store.url}/v1/blobs/${blob}`, { method: 'HEAD' });
    expect(head.headers.get('content-length')).toBe(String(shard.byteLength));
    for (const place of [`/v1/blobs/${blob}`, `/tree/models/org/random/${SHARD}`]) {
      // What is there may come, the end must not: curl tells a body that is cut off (18), an error (22) or an empty reply (52).
      for (const range of ['0-', '-10', `${left}-${left}`]) {
        const { code } = await start('curl', ['-sf', '-o', '/dev/null', '-r', range, `${store.url}${place}`])
          .ended;
        expect([18, 22, 52, 56], `${place} ${range}`).toContain(code);
      }
      if (left > 0) {
        const good = await fetch(`${store.url}${place}`, { headers: { range: `bytes=0-${left - 1}` } });
        expect(good.status).toBe(206);
        expect(Buffer.from(await good.arrayBuffer()).equals(shard.subarray(0, left))).toBe(true);
      }
    }
    expect((await fetch(`${store.url}/healthz`)).status).toBe(200);
  });
});
