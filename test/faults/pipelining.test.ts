import { connect } from 'node:net';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { calyxJson } from '../support/cli.js';
import { ROOT, suiteDirectory } from '../support/directories.js';
import { startStore, type RunningStore } from '../support/running-store.js';

const data = join(suiteDirectory(), 'store');
let store: RunningStore;

beforeAll(async () => {
  store = await startStore(data);
  await calyxJson('add', join(ROOT, 'models/tiny-calyx'), '--name', 'acme/tiny', '--data', data);
});
afterAll(() => store.stop());

/** Resident memory of the store in bytes, as the kernel sees it. */
function residentBytes(): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${store.pid}/status`, 'utf8'))?.[1];
  return Number(kib) * 1024;
}

describe('a client that sends requests and reads no answers', () => {
  it('takes little memory and does not disturb others', async () => {
    const answer = (await (await fetch(`${store.url}/v1/models/acme/tiny/revisions/main`)).json()) as {
      manifest: string;
    };
    const request = `GET /v1/manifests/${answer.manifest} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`;
    const before = residentBytes();
    const socket = connect(store.port, '127.0.0.1').on('error', () => undefined);
    await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
    // Nothing is read, so these cannot all be answered.
    socket.pause().write(request.repeat(20_000));
    for (let count = 0; count < 100; count += 1)
      expect((await fetch(`${store.url}/healthz`)).status).toBe(200);
    expect(residentBytes() - before).toBeLessThan(100 * 1024 * 1024);
    socket.destroy();
  });
});
