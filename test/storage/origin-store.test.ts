import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { runStore, type RunningStore } from '../../src/app/store/run-store.js';
import { CalyxError } from '../../src/core/errors.js';
import { calyx, calyxJson } from '../support/cli.js';
import { DirectoryBucket } from '../support/directory-bucket.js';
import { ROOT, testDirectory } from '../support/directories.js';
import { TINY, writeRandomModel } from '../support/models.js';

const QWEN = join(ROOT, 'test/fixtures/models/qwen2-tied');
const MIB = 1024 * 1024;

interface Store extends RunningStore {
  readonly log: string[];
}

async function startOn(
  data: string,
  bucket: DirectoryBucket,
  options: { readonly readDeadlineMs?: number; readonly pollMs?: number } = {},
): Promise<Store> {
  const log: string[] = [];
  const store = await runStore({
    dataDirectory: data,
    listen: { host: '127.0.0.1', port: 0 },
    tls: false,
    insecure: false,
    hostNames: [],
    nfs: undefined,
    origin: { bucket, cacheBytes: 32 * MIB, pollMs: 50, readDeadlineMs: 3_000, ...options },
    logger: pino({ level: 'info' }, { write: (line: string) => log.push(line) }),
  });
  onTestFinished(() => store.close());
  return { ...store, log };
}

/** A bucket with `acme/tiny`, and what else is wanted. */
function bucketWith(models: Readonly<Record<string, string>>): { root: string; bucket: DirectoryBucket } {
  const root = testDirectory();
  for (const [name, from] of Object.entries(models)) cpSync(from, join(root, name), { recursive: true });
  return { root, bucket: new DirectoryBucket(root) };
}

async function json(url: string): Promise<Record<string, unknown>> {
  const answer = await fetch(url);
  return { status: answer.status, ...((await answer.json()) as object) };
}

/** Waits until a model's ref leads to a revision, other than one that is known. */
async function shown(store: Store, model: string, not?: string): Promise<string> {
  return vi.waitFor(
    async () => {
      const { revision } = await json(`${store.url}/v1/models/${model}/revisions/main`);
      if (typeof revision !== 'string' || revision === not) throw new Error(`not yet: ${store.log.join('')}`);
      return revision;
    },
    { timeout: 30_000, interval: 50 },
  );
}

async function file(store: Store, path: string): Promise<{ status: number; bytes: Buffer }> {
  const answer = await fetch(`${store.url}/tree/models/${path}`);
  return { status: answer.status, bytes: Buffer.from(await answer.arrayBuffer()) };
}

function expectSameFiles(directory: string, original: string): void {
  for (const { name } of readdirSync(original, { withFileTypes: true }).filter((entry) => entry.isFile()))
    expect(readFileSync(join(directory, name)).equals(readFileSync(join(original, name))), name).toBe(true);
}

interface Status {
  readonly origin: {
    readonly models: { readonly shown: number; readonly failed: number };
    readonly bytesRead: number;
    readonly cache: { readonly hits: number; readonly misses: number; readonly wrongChunks: number };
  };
}

async function status(store: Store): Promise<Status['origin']> {
  return ((await json(`${store.url}/v1/status`)) as unknown as Status).origin;
}

describe('a store before a bucket', () => {
  it('serves what lies there, byte for byte, and keeps none of it but the cache', async () => {
    const { bucket, root } = bucketWith({ 'acme/tiny': TINY, 'acme/qwen': QWEN });
    writeFileSync(join(root, 'README.md'), 'no model');
    const data = testDirectory();
    const store = await startOn(data, bucket);
    const revision = await shown(store, 'acme/tiny');
    await shown(store, 'acme/qwen');
    for (const name of readdirSync(TINY)) {
      const { bytes } = await file(store, `acme/tiny@${revision}/${name}`);
      expect(bytes.equals(readFileSync(join(TINY, name))), name).toBe(true);
    }
    // The revision is the one that adding the same files gives.
    const added = testDirectory();
    const { revision: same } = await calyxJson('add', TINY, '--name', 'acme/tiny', '--data', added);
    expect(revision).toBe(same);
    expect(existsSync(join(data, 'models--acme--tiny'))).toBe(false);
    const { models } = (await calyxJson('list', '--data', data)) as { models: { model: string }[] };
    expect(models.map(({ model }) => model).sort()).toEqual(['acme/qwen', 'acme/tiny']);
    expect((await status(store)).models).toMatchObject({ shown: 2, failed: 0 });
    const metrics = await (await fetch(`${store.url}/metrics`)).text();
    expect(metrics).toMatch(/^calyx_cache_misses [1-9]/m);
    const removed = await calyx('remove', 'acme/tiny', '--data', data);
    expect(removed.stderr).toContain('lies in s3://bucket/models');
  });

  it('moves only the bytes of the blocks that a slice has, once', async () => {
    const { bucket } = bucketWith({ 'acme/tiny': TINY });
    const store = await startOn(testDirectory(), bucket);
    await shown(store, 'acme/tiny');
    const before = bucket.readBytes;
    const slice = join(testDirectory(), 'slice');
    const args = ['fetch', 'acme/tiny', '--blocks', '4:6', '--store', store.url];
    const { bytesFetched } = (await calyxJson(...args, '--into', slice)) as { bytesFetched: number };
    expect(bytesFetched).toBeGreaterThan(0);
    const moved = bucket.readBytes - before;
    const again = join(testDirectory(), 'slice');
    await calyxJson(...args, '--into', again);
    expectSameFiles(again, slice);
    expect(bucket.readBytes - before).toBe(moved);
    expect(moved).toBeLessThanOrEqual(bytesFetched);
    // The same slice of the model on a disk.
    const data = testDirectory();
    await calyxJson('add', TINY, '--name', 'acme/tiny', '--data', data);
    const plain = await runStore({
      dataDirectory: data,
      listen: { host: '127.0.0.1', port: 0 },
      tls: false,
      insecure: false,
      hostNames: [],
      nfs: undefined,
      logger: pino({ level: 'silent' }),
    });
    onTestFinished(() => plain.close());
    const direct = join(testDirectory(), 'slice');
    await calyxJson(...args.slice(0, -1), plain.url, '--into', direct);
    const parts = readdirSync(direct).filter((name) => name.endsWith('.safetensors'));
    expect(parts.length).toBe(2);
    for (const part of parts)
      expect(readFileSync(join(slice, part)).equals(readFileSync(join(direct, part))), part).toBe(true);
  });

  it('takes the manifest that an earlier store has kept beside the model, and reads no weights for it', async () => {
    const { bucket } = bucketWith({ 'acme/tiny': TINY });
    const first = await startOn(testDirectory(), bucket);
    const revision = await shown(first, 'acme/tiny');
    await first.close();
    bucket.readBytes = 0;
    const second = await startOn(testDirectory(), bucket);
    expect(await shown(second, 'acme/tiny')).toBe(revision);
    const bytes = readdirSync(TINY).reduce((sum, name) => sum + readFileSync(join(TINY, name)).byteLength, 0);
    expect(bucket.readBytes).toBeLessThan(bytes / 10);
    const name = 'config.json';
    const { bytes: config } = await file(second, `acme/tiny/${name}`);
    expect(config.equals(readFileSync(join(TINY, name)))).toBe(true);
  });

  it('goes on where it stopped when it makes a manifest', async () => {
    const { bucket } = bucketWith({ 'acme/tiny': TINY });
    const shards = readdirSync(TINY).filter((one) => one.endsWith('.safetensors'));
    const data = testDirectory();
    // The last shard does not come, so that the manifest is never whole.
    bucket.onRead = (key, target) => {
      if (key.endsWith(shards.at(-1) ?? '') && target.byteLength > 100_000)
        throw new CalyxError('refused', 'not this one');
    };
    const first = await startOn(data, bucket);
    await vi.waitFor(() => expect(first.log.join('')).toContain('not this one'), { timeout: 10_000 });
    await first.close();
    const whole: string[] = [];
    bucket.onRead = (key, target) => {
      if (target.byteLength > 100_000) whole.push(key);
    };
    const second = await startOn(data, bucket);
    await shown(second, 'acme/tiny');
    expect(whole.filter((key) => key.endsWith('.safetensors'))).toEqual([`acme/tiny/${shards.at(-1)}`]);
  });

  it('serves at once after a restart, also while the bucket does not answer', async () => {
    const { bucket } = bucketWith({ 'acme/tiny': TINY });
    const data = testDirectory();
    const first = await startOn(data, bucket);
    await shown(first, 'acme/tiny');
    const name = readdirSync(TINY).find((one) => one.endsWith('.safetensors')) ?? '';
    await file(first, `acme/tiny/${name}`);
    await first.close();
    bucket.list = () => Promise.reject(new CalyxError('unavailable', 'the bucket does not answer'));
    bucket.onRead = () => {
      throw new CalyxError('unavailable', 'the bucket does not answer');
    };
    const second = await startOn(data, bucket);
    const { status: answered, bytes } = await file(second, `acme/tiny/${name}`);
    expect(answered).toBe(200);
    expect(bytes.equals(readFileSync(join(TINY, name)))).toBe(true);
  });

  it('publishes a new revision of objects that were replaced, and never mixes it with the old one', async () => {
    const { bucket, root } = bucketWith({ 'acme/tiny': TINY });
    const data = testDirectory();
    const store = await startOn(data, bucket, { readDeadlineMs: 300 });
    const before = await shown(store, 'acme/tiny');
    bucket.readBytes = 0;
    const changed = Buffer.from(readFileSync(join(TINY, 'config.json')).toString().replace('{', '{ '));
    writeFileSync(join(root, 'acme/tiny/config.json'), changed);
    const after = await shown(store, 'acme/tiny', before);
    // Objects that are as before are not read again but for what tells how they are cut.
    expect(bucket.readBytes).toBeLessThan(400_000);
    expect((await file(store, `acme/tiny@${after}/config.json`)).bytes.equals(changed)).toBe(true);
    // Nobody has read the old one, so it is nowhere any more.
    const manifest = await json(`${store.url}/v1/models/acme/tiny/revisions/${before}`);
    const old = await fetch(`${store.url}/v1/blobs/${sha256(join(TINY, 'config.json'))}`);
    expect({ known: manifest['status'], status: old.status }).toEqual({ known: 200, status: 409 });
    expect(await old.text()).toContain('was replaced');
    // What both have in common is read from where it lies.
    const shard = readdirSync(TINY).find((one) => one.endsWith('.safetensors')) ?? '';
    const { bytes } = await file(store, `acme/tiny@${before}/${shard}`);
    expect(bytes.equals(readFileSync(join(TINY, shard)))).toBe(true);
  });

  it('shows a model when it is whole, and not any more when it is gone', async () => {
    const { bucket, root } = bucketWith({ 'acme/tiny': TINY, 'acme/qwen': QWEN });
    const shard = readdirSync(TINY).find((one) => one.endsWith('.safetensors')) ?? '';
    rmSync(join(root, 'acme/tiny', shard));
    const data = testDirectory();
    const store = await startOn(data, bucket);
    await shown(store, 'acme/qwen');
    await vi.waitFor(async () => expect((await status(store)).models.failed).toBe(1), { timeout: 10_000 });
    expect((await json(`${store.url}/v1/models/acme/tiny/revisions/main`))['status']).toBe(404);
    const listed = await calyx('list', '--data', data);
    expect(listed.stdout).toMatch(/acme\/tiny.*missing/s);
    cpSync(join(TINY, shard), join(root, 'acme/tiny', shard));
    await shown(store, 'acme/tiny');
    rmSync(join(root, 'acme/tiny'), { recursive: true });
    await vi.waitFor(
      async () => expect((await json(`${store.url}/v1/models/acme/tiny/revisions/main`))['status']).toBe(404),
      { timeout: 10_000 },
    );
    await shown(store, 'acme/qwen');
  });

  it('asks again for wrong bytes, and tells if they stay wrong', async () => {
    const { bucket } = bucketWith({ 'acme/tiny': TINY });
    const store = await startOn(testDirectory(), bucket);
    await shown(store, 'acme/tiny');
    const [shard = '', other = ''] = readdirSync(TINY).filter((one) => one.endsWith('.safetensors'));
    let wrong = 2;
    bucket.onRead = (_key, target) => {
      if (wrong-- > 0) target[0] = (target[0] ?? 0) ^ 1;
    };
    const { bytes } = await file(store, `acme/tiny/${shard}`);
    expect(bytes.equals(readFileSync(join(TINY, shard)))).toBe(true);
    expect((await status(store)).cache.wrongChunks).toBe(2);
    wrong = Infinity;
    const answer = await fetch(`${store.url}/v1/blobs/${sha256(join(TINY, other))}`);
    expect(answer.status).toBe(502);
    expect(store.log.join('')).toContain('sent wrong bytes');
  });

  it('waits for a bucket that does not answer until the deadline of the read, then says so', async () => {
    const { bucket } = bucketWith({ 'acme/tiny': TINY });
    const store = await startOn(testDirectory(), bucket, { readDeadlineMs: 1_500 });
    await shown(store, 'acme/tiny');
    const [shard = '', other = ''] = readdirSync(TINY).filter((one) => one.endsWith('.safetensors'));
    let failures = 2;
    bucket.onRead = () => {
      if (failures-- > 0) throw new CalyxError('limited', 'slow down');
    };
    const { bytes } = await file(store, `acme/tiny/${shard}`);
    expect(bytes.equals(readFileSync(join(TINY, shard)))).toBe(true);
    bucket.onRead = () => {
      throw new CalyxError('unauthenticated', 'the credentials have expired');
    };
    const answer = await fetch(`${store.url}/v1/blobs/${sha256(join(TINY, other))}`);
    expect(answer.status).toBe(503);
    expect(await answer.text()).toContain('expired');
  });

  it('leaves a model of the data directory alone that has the name of one in the bucket', async () => {
    const { bucket } = bucketWith({ 'acme/tiny': QWEN });
    const data = testDirectory();
    const { revision } = await calyxJson('add', TINY, '--name', 'acme/tiny', '--data', data);
    const store = await startOn(data, bucket);
    await vi.waitFor(async () => expect((await status(store)).models.failed).toBe(1), { timeout: 10_000 });
    expect(await shown(store, 'acme/tiny')).toBe(revision);
    expect(bucket.readBytes).toBe(0);
  });

  it('reads from its disk what was added there, too, and keeps that when it is gone from the bucket', async () => {
    const { bucket, root } = bucketWith({ 'acme/tiny': TINY });
    const data = testDirectory();
    const store = await startOn(data, bucket);
    const revision = await shown(store, 'acme/tiny');
    await calyxJson('add', TINY, '--name', 'acme/tiny', '--data', data);
    bucket.onRead = () => {
      throw new CalyxError('unavailable', 'the bucket does not answer');
    };
    const readAll = async (): Promise<void> => {
      for (const name of readdirSync(TINY)) {
        const { bytes } = await file(store, `acme/tiny@${revision}/${name}`);
        expect(bytes.equals(readFileSync(join(TINY, name))), name).toBe(true);
      }
    };
    await readAll();
    rmSync(join(root, 'acme'), { recursive: true });
    await vi.waitFor(() => expect(store.log.join('')).toContain('is not in s3://bucket/models any more'), {
      timeout: 10_000,
    });
    await readAll();
    expect((await calyx('verify', '--data', data)).code).toBe(0);
  });

  it('keeps within a budget that is smaller than the model', async () => {
    const model = testDirectory();
    await writeRandomModel(model, { blocks: 6, matrixBytes: 4 * MIB, shards: 2, seed: 3 });
    const { bucket } = bucketWith({ 'acme/large': model });
    const data = testDirectory();
    const store = await startOn(data, bucket);
    await shown(store, 'acme/large');
    for (const round of [1, 2]) {
      for (const name of readdirSync(model)) {
        const { bytes } = await file(store, `acme/large/${name}`);
        expect(bytes.equals(readFileSync(join(model, name))), `${name}, round ${round}`).toBe(true);
      }
    }
    const kept = readdirSync(join(data, '.calyx/cache')).filter((name) => name.includes('pack'));
    expect(kept.length).toBeGreaterThan(0);
  });

  it('does without a bucket that may not be written', async () => {
    const { bucket, root } = bucketWith({ 'acme/tiny': TINY });
    mkdirSync(join(root, 'x'));
    bucket.onPut = () => {
      throw new CalyxError('refused', 'no');
    };
    const store = await startOn(testDirectory(), bucket);
    await shown(store, 'acme/tiny');
    expect(store.log.join('')).toContain('cannot be kept');
    expect(existsSync(join(root, 'acme/tiny/.calyx'))).toBe(false);
  });
});

function sha256(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}
