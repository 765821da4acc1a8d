import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { calyx, calyxJson } from '../support/cli.js';
import { ROOT, suiteDirectory, testDirectory } from '../support/directories.js';
import { TINY } from '../support/models.js';
import { startNodeProcess } from '../support/running-node.js';
import { startStore, type RunningStore } from '../support/running-store.js';
import { noS3Server, S3_KEY, S3Server } from '../support/s3-server.js';
import { S3Proxy, type S3Fault } from '../support/s3-proxy.js';

const BUCKET = 'models';
const ORIGIN = `s3://${BUCKET}/team`;
const SHARDS = readdirSync(TINY).filter((name) => name.endsWith('.safetensors'));
const BYTES = readdirSync(TINY).reduce((sum, name) => sum + readFileSync(join(TINY, name)).byteLength, 0);

interface Golden {
  readonly cases: readonly {
    readonly prompt: string;
    readonly chat: boolean;
    readonly text: string;
    readonly greedy: readonly number[];
  }[];
}

const kept = suiteDirectory();

describe.skipIf(noS3Server !== undefined)(
  `a store before S3${noS3Server === undefined ? '' : `: ${noS3Server}`}`,
  () => {
    let server: S3Server;
    let proxy: S3Proxy;

    beforeAll(async () => {
      server = await S3Server.start();
      await server.makeBucket(BUCKET);
      await server.putDirectory(BUCKET, 'team/acme/tiny', TINY);
      proxy = await S3Proxy.start(server.port);
    }, 120_000);
    afterAll(async () => {
      await proxy.stop();
      await server.stop();
    });
    beforeEach(() => proxy.reset());

    /** A store whose model is shown. */
    async function store(data: string, ...args: string[]): Promise<RunningStore> {
      const options = ['--origin', ORIGIN, '--cache-size', '64MiB', '--origin-poll', '1', ...args];
      const running = await startStore(data, { args: options, env: server.env(proxy.url) });
      onTestFinished(async () => {
        await running.stop('SIGKILL');
      });
      await vi.waitFor(
        async () => {
          const answer = await fetch(`${running.url}/v1/models/acme/tiny/revisions/main`);
          if (answer.status !== 200) throw new Error('not yet');
        },
        { timeout: 60_000, interval: 50 },
      );
      return running;
    }

    function expectWhole(bytes: Uint8Array, name: string): void {
      expect(Buffer.from(bytes).equals(readFileSync(join(TINY, name))), name).toBe(true);
    }

    async function read(running: RunningStore, name: string): Promise<void> {
      const answer = await fetch(`${running.url}/tree/models/acme/tiny/${name}`);
      expectWhole(new Uint8Array(await answer.arrayBuffer()), name);
    }

    const isShard = (key: string): boolean => key.endsWith('.safetensors');

    it('reads the model once for its manifest, keeps that in the bucket, and starts from nothing without reading again', async () => {
      await store(join(kept, 'first'));
      expect(proxy.bytesSent).toBeGreaterThanOrEqual(BYTES);
      // The headers are read once more than the rest.
      expect(proxy.bytesSent).toBeLessThan(1.1 * BYTES);
      expect(
        proxy.requests.some(({ method, key }) => method === 'PUT' && key.endsWith('manifest.json')),
      ).toBe(true);
      proxy.reset();
      const second = await store(testDirectory());
      expect(proxy.requests.filter(({ key }) => isShard(key))).toEqual([]);
      for (const name of readdirSync(TINY)) await read(second, name);
    });

    it('gives slices equal to those of a plain store, and moves from S3 only their bytes', async () => {
      const plainData = testDirectory();
      await calyxJson('add', TINY, '--name', 'acme/tiny', '--data', plainData);
      const plain = await startStore(plainData);
      onTestFinished(async () => {
        await plain.stop();
      });
      const running = await store(testDirectory());
      proxy.reset();
      const [ours, theirs] = [join(testDirectory(), 'slice'), join(testDirectory(), 'slice')];
      const fetched = ['fetch', 'acme/tiny', '--blocks', '3:5'];
      const { bytesFetched } = (await calyxJson(...fetched, '--into', ours, '--store', running.url)) as {
        bytesFetched: number;
      };
      await calyxJson(...fetched, '--into', theirs, '--store', plain.url);
      const parts = readdirSync(theirs).filter((name) => name.endsWith('.safetensors'));
      expect(parts.length).toBe(2);
      for (const part of parts)
        expect(readFileSync(join(ours, part)).equals(readFileSync(join(theirs, part))), part).toBe(true);
      expect(proxy.bytesSent).toBeGreaterThan(0);
      expect(proxy.bytesSent).toBeLessThanOrEqual(bytesFetched);
      expect(bytesFetched).toBeLessThan(BYTES / 2);
    });

    it('runs the model with the golden text', async () => {
      const running = await store(testDirectory());
      const { cases } = JSON.parse(
        readFileSync(join(ROOT, 'models/tiny-calyx/golden.json'), 'utf8'),
      ) as Golden;
      const expected = cases.find(({ chat }) => chat);
      for (const blocks of ['0:6', '6:12']) {
        const args = ['--name', `n${blocks.slice(0, 1)}`, '--model', 'acme/tiny', '--blocks', blocks];
        const where = ['--store', running.url, '--data', testDirectory(), '--listen', '127.0.0.1:0'];
        const node = await startNodeProcess([...args, ...where], {});
        onTestFinished(async () => {
          await node.stop();
        });
      }
      const said = await calyx('run', 'acme/tiny', expected?.prompt ?? '', '--store', running.url, '--json');
      expect(said.stderr).toBe('');
      expect((JSON.parse(said.stdout) as { text: string }).text).toBe(expected?.text);
    });

    const faults: readonly { readonly name: string; readonly fault: S3Fault }[] = [
      { name: 'dropped connections', fault: 'drop' },
      { name: 'connections that end in the middle', fault: 'cut' },
      { name: '503 SlowDown', fault: { status: 503, code: 'SlowDown' } },
      { name: 'wrong bytes', fault: 'wrong' },
      { name: 'credentials that have expired', fault: { status: 403, code: 'ExpiredToken' } },
    ];
    it.each(faults)('survives $name: reads go on when they end', async ({ fault }) => {
      const running = await store(testDirectory());
      // Each range is spoiled the first time that it is asked for.
      proxy.fault = ({ method, key, before }) =>
        method === 'GET' && isShard(key) && before === 0 ? fault : undefined;
      await Promise.all(SHARDS.map((name) => read(running, name)));
      expect(proxy.requests.some(({ before }) => before > 0)).toBe(true);
    });

    it('takes new credentials from the file that has them, without a restart', async () => {
      const file = join(testDirectory(), 'credentials');
      const write = (id: string): void =>
        writeFileSync(
          file,
          `[default]\naws_access_key_id = ${id}\naws_secret_access_key = ${S3_KEY.secret}\n`,
        );
      write('AKIAOFNOBODY00000001');
      const env = { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', AWS_SHARED_CREDENTIALS_FILE: file };
      const running = await startStore(testDirectory(), {
        args: ['--origin', ORIGIN, '--cache-size', '64MiB', '--origin-poll', '1'],
        env: { ...server.env(proxy.url), ...env },
      });
      onTestFinished(async () => {
        await running.stop('SIGKILL');
      });
      const model = `${running.url}/v1/models/acme/tiny/revisions/main`;
      await vi.waitFor(
        async () => {
          const { origin } = (await (await fetch(`${running.url}/v1/status`)).json()) as {
            origin: { problem: string | null };
          };
          expect(origin.problem).toContain('does not know these credentials');
        },
        { timeout: 20_000, interval: 50 },
      );
      expect((await fetch(model)).status).toBe(404);
      write(S3_KEY.id);
      await vi.waitFor(async () => expect((await fetch(model)).status).toBe(200), {
        timeout: 30_000,
        interval: 100,
      });
      await read(running, SHARDS[0] ?? '');
    });

    it('survives all of this while it makes the manifest', async () => {
      const bucket = 'faults';
      await server.makeBucket(bucket);
      await server.putDirectory(bucket, 'acme/tiny', TINY);
      let asked = 0;
      proxy.fault = ({ method, key }) => {
        if (method !== 'GET' || !isShard(key)) return undefined;
        asked += 1;
        return asked <= 8
          ? (['drop', 'cut', { status: 503, code: 'SlowDown' }] as const)[asked % 3]
          : undefined;
      };
      const running = await store(testDirectory(), '--origin', `s3://${bucket}`);
      for (const name of SHARDS) await read(running, name);
    });

    it('reads slowly from a slow bucket, and not at all wrongly', async () => {
      const running = await store(testDirectory());
      proxy.bytesPerSecond = 1024 * 1024;
      await Promise.all(SHARDS.slice(0, 2).map((name) => read(running, name)));
    });

    it('tells that an object was replaced, and serves the new revision', async () => {
      const running = await store(testDirectory());
      const before = (await (await fetch(`${running.url}/v1/models/acme/tiny/revisions/main`)).json()) as {
        revision: string;
      };
      const config = readFileSync(join(TINY, 'config.json'));
      const changed = join(testDirectory(), 'config.json');
      writeFileSync(changed, config.toString().replace('{', '{ '));
      await server.putFile(BUCKET, 'team/acme/tiny/config.json', changed);
      onTestFinished(() => server.putFile(BUCKET, 'team/acme/tiny/config.json', join(TINY, 'config.json')));
      await vi.waitFor(
        async () => {
          const answer = await fetch(`${running.url}/tree/models/acme/tiny/config.json`);
          expect(await answer.text()).toBe(readFileSync(changed, 'utf8'));
        },
        { timeout: 30_000, interval: 100 },
      );
      const old = await fetch(`${running.url}/v1/blobs/${createHash('sha256').update(config).digest('hex')}`);
      expect(old.status).toBe(409);
      expect(await old.text()).toContain(`acme/tiny@${before.revision} cannot be read any more`);
    });

    it('is killed in the middle of reads, and serves right bytes when it is started again', async () => {
      const data = testDirectory();
      let kills = 0;
      for (let round = 0; round < 5; round += 1) {
        const running = await store(data);
        proxy.reset();
        const name = SHARDS[round % SHARDS.length] ?? '';
        const half = readFileSync(join(TINY, name)).byteLength / (round + 2);
        const killed = new Promise<void>((resolve) => {
          proxy.onBytes = () => {
            if (proxy.bytesSent < half) return;
            process.kill(running.pid, 'SIGKILL');
            proxy.onBytes = () => undefined;
            kills += 1;
            resolve();
          };
        });
        const reading = Promise.all(SHARDS.map((shard) => read(running, shard))).catch(() => undefined);
        // A round whose bytes are all in the cache already has nothing to be killed at.
        await Promise.race([killed, reading]);
        await running.stop('SIGKILL');
        await reading;
      }
      expect(kills).toBeGreaterThan(0);
      const last = await store(data);
      for (const name of readdirSync(TINY)) await read(last, name);
    });

    it('throws away nothing but the cache with its directory', async () => {
      const data = testDirectory();
      const first = await store(data);
      for (const name of SHARDS) await read(first, name);
      await first.stop();
      rmSync(join(data, '.calyx/cache'), { recursive: true });
      expect(existsSync(join(data, 'models--acme--tiny'))).toBe(false);
      const second = await store(data);
      for (const name of SHARDS) await read(second, name);
      const verified = await calyx('verify', '--data', data);
      expect(verified.code).toBe(0);
    });
  },
);
